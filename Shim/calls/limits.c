// RLIMIT_DATA belongs to the lease: the program sees and sets its own.
#define _GNU_SOURCE
#include "lease.h"
#include "next.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "one layout serves both names");

#define GET(name)                                                                     \
  EXPORT(int, name, (int resource, struct rlimit *limit)) {                           \
    int error = NEXT(name)(resource, limit);                                          \
    if (error == 0 && resource == RLIMIT_DATA) lease_hides(limit);                    \
    return error;                                                                     \
  }
GET(getrlimit)
GET(getrlimit64)

#define SET(name)                                                                     \
  EXPORT(int, name, (int resource, const struct rlimit *limit)) {                     \
    int error = resource == RLIMIT_DATA && limit ? lease_own_limit(limit) : -1;       \
    if (error < 0) return NEXT(name)(resource, limit);                                \
    return error ? (errno = error, -1) : 0;                                           \
  }
SET(setrlimit)
SET(setrlimit64)

#define PRLIMIT(name)                                                                 \
  EXPORT(int, name, (pid_t pid, int resource, const struct rlimit *set, struct rlimit *was)) { \
    bool own = resource == RLIMIT_DATA && (pid == 0 || pid == getpid());              \
    struct rlimit shown;                                                              \
    bool hidden = own && NEXT(name)(0, resource, NULL, &shown) == 0 && lease_hides(&shown); \
    if (!hidden) return NEXT(name)(pid, resource, set, was);                          \
    int error = set ? lease_own_limit(set) : 0;                                       \
    if (error > 0) return errno = error, -1;                                          \
    if (was) *was = shown;                                                            \
    return 0;                                                                         \
  }
PRLIMIT(prlimit)
PRLIMIT(prlimit64)
