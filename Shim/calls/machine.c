// How much memory there is, for those that do not read /proc/meminfo (--meminfo): the same figures.
#define _GNU_SOURCE
#include "next.h"
#include "owned.h"
#include "views.h"

#include <sys/sysinfo.h>
#include <unistd.h>

SAME_PROTOTYPE(sysinfo, int, (struct sysinfo *));
EXPORT(int, sysinfo, (struct sysinfo *info)) {
  int error = NEXT(sysinfo)(info);
  int64_t all, left;
  if (error || !view_memory(&all, &left)) return error;
  unsigned long unit = info->mem_unit ? info->mem_unit : 1;
  info->totalram = (unsigned long)all / unit;
  info->freeram = (unsigned long)left / unit;
  info->sharedram = info->bufferram = info->totalswap = info->freeswap = info->totalhigh = info->freehigh = 0;
  return 0;
}

__attribute__((noinline, cold)) static long pages(bool of_all, long machine) {
  int64_t all, left;
  return view_memory(&all, &left) ? (long)(of_all ? all : left) / sysconf(_SC_PAGESIZE) : machine;
}

#define SYSCONF(name)                                                    \
  EXPORT(long, name, (int what)) {                                       \
    long value = NEXT(name)(what);                                       \
    if (unlikely(what == _SC_PHYS_PAGES || what == _SC_AVPHYS_PAGES)) return pages(what == _SC_PHYS_PAGES, value); \
    return value;                                                        \
  }
SAME_PROTOTYPE(sysconf, long, (int));
SYSCONF(sysconf)
SYSCONF(__sysconf)

SAME_PROTOTYPE(get_phys_pages, long, (void));
SAME_PROTOTYPE(get_avphys_pages, long, (void));
EXPORT(long, get_phys_pages, (void)) { return pages(true, NEXT(get_phys_pages)()); }
EXPORT(long, get_avphys_pages, (void)) { return pages(false, NEXT(get_avphys_pages)()); }
