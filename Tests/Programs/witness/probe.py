import os


def inner():
    os.rmdir("/probe")


def outer():
    inner()


outer()
