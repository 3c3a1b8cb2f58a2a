// libunwind and libdw, as Swift can call them.
