// Sensible arguments for each row of calls.def, named after it. A row without any does not compile: add them here.
#define NAME_ fresh_name()
#define WITH_open "/dev/null", O_RDONLY, 0
#define WITH_open64 "/dev/null", O_RDONLY, 0
#define WITH___open "/dev/null", O_RDONLY, 0
#define WITH___open64 "/dev/null", O_RDONLY, 0
#define WITH___open_2 "/dev/null", O_RDONLY
#define WITH___open64_2 "/dev/null", O_RDONLY
#define WITH_openat AT_FDCWD, "/dev/null", O_RDONLY, 0
#define WITH_openat64 AT_FDCWD, "/dev/null", O_RDONLY, 0
#define WITH___openat_2 AT_FDCWD, "/dev/null", O_RDONLY
#define WITH___openat64_2 AT_FDCWD, "/dev/null", O_RDONLY
#define WITH_creat NAME_, 0600
#define WITH_creat64 NAME_, 0600
#define WITH_open_by_handle_at AT_FDCWD, root_handle(), O_RDONLY
#define WITH_epoll_create 1
#define WITH_epoll_create1 0
#define WITH_eventfd 0, 0
#define WITH_timerfd_create CLOCK_MONOTONIC, 0
#define WITH_fanotify_init 0, 0
#define WITH_memfd_create "rows", 0
#define WITH_pidfd_open getpid(), 0
#define WITH_open_tree AT_FDCWD, "/", 0
#define WITH_fsopen "tmpfs", 0
#define WITH_fsmount -1, 0, 0
#define WITH_fspick AT_FDCWD, "/proc", 0
#define WITH_mq_open "/beancounter-rows", O_RDWR | O_CREAT, 0600, NULL
#define WITH___mq_open_2 "/beancounter-rows", O_RDWR
#define WITH_shm_open "/beancounter-rows", O_RDWR | O_CREAT, 0600
#define WITH_mkstemp NAME_
#define WITH_mkstemp64 NAME_
#define WITH_mkostemp NAME_, 0
#define WITH_mkostemp64 NAME_, 0
#define WITH_mkstemps NAME_, 0
#define WITH_mkstemps64 NAME_, 0
#define WITH_mkostemps NAME_, 0, 0
#define WITH_mkostemps64 NAME_, 0, 0
// Written by hand in the shim, and made like the others.
#define WITH_posix_openpt O_RDWR | O_NOCTTY
#define WITH_getpt
#define WITH_inotify_init
#define WITH_inotify_init1 0
#define WITH_dup 0
#define WITH_socket AF_UNIX, SOCK_STREAM, 0
#define WITH_signalfd -1, &no_signals, 0

#define WITH_fopen "/dev/null", "r"
#define WITH_fopen64 "/dev/null", "r"
#define WITH_tmpfile
#define WITH_tmpfile64
#define WITH__IO_fopen "/dev/null", "r"
#define WITH___setmntent "/proc/mounts", "r"
#define WITH_setmntent "/proc/mounts", "r"

static char room_[4096];
static struct utmp ut_;
static struct utmp *ut_out_;
static struct utmpx utx_;
#define WITH_openlog "rows", LOG_NDELAY, LOG_USER
#define WITH_setutent
#define WITH_getutent
#define WITH_getutid &ut_
#define WITH_getutline &ut_
#define WITH_pututline &ut_
#define WITH_getutent_r &ut_, &ut_out_
#define WITH_getutid_r &ut_, &ut_, &ut_out_
#define WITH_getutline_r &ut_, &ut_, &ut_out_
#define WITH_setutxent
#define WITH_getutxent
#define WITH_getutxid &utx_
#define WITH_getutxline &utx_
#define WITH_pututxline &utx_
#define ENTRY_(type) &(type){0}, room_, sizeof room_, &(type *){NULL}
#define WITH_setpwent
#define WITH_getpwent
#define WITH_getpwent_r ENTRY_(struct passwd)
#define WITH_setgrent
#define WITH_getgrent
#define WITH_getgrent_r ENTRY_(struct group)
#define WITH_setspent
#define WITH_getspent
#define WITH_getspent_r ENTRY_(struct spwd)
#define WITH_setsgent
#define WITH_getsgent
#define WITH_getsgent_r ENTRY_(struct sgrp)
#define WITH_setaliasent
#define WITH_getaliasent
#define WITH_getaliasent_r ENTRY_(struct aliasent)
#define WITH_setnetgrent "rows"
#define WITH_setrpcent 1
#define WITH_getrpcent
#define WITH_getrpcent_r ENTRY_(struct rpcent)
#define WITH_sethostent 1
#define WITH_gethostent
#define WITH_gethostent_r ENTRY_(struct hostent), &(int){0}
#define WITH_setnetent 1
#define WITH_getnetent
#define WITH_getnetent_r ENTRY_(struct netent), &(int){0}
#define WITH_setprotoent 1
#define WITH_getprotoent
#define WITH_getprotoent_r ENTRY_(struct protoent)
#define WITH_setservent 1
#define WITH_getservent
#define WITH_getservent_r ENTRY_(struct servent)
