// The function that the program would have reached without us.
#ifndef SHIM_NEXT_H
#define SHIM_NEXT_H

// Its address in the first object behind the shim that defines it; never null (a call that no object has
// answers ENOSYS). Takes no lock and allocates nothing, unlike dlsym: safe in a signal handler, before main, and
// inside the first malloc (jemalloc#329, libfaketime PR#463).
void *next_find(const char *name);
// The same, also where failures were asked for (inject.h).
void *next_real(const char *name);

// Resolved at the first call: 60 eager look-ups would cost a start 55 000 instructions.
#define NEXT(name)                                                           \
  ({                                                                         \
    static __typeof__(bc_##name) *next_;                                     \
    __typeof__(next_) found_ = __atomic_load_n(&next_, __ATOMIC_RELAXED);    \
    if (__builtin_expect(!found_, 0)) {                                      \
      found_ = (__typeof__(next_))next_find(#name);                          \
      __atomic_store_n(&next_, found_, __ATOMIC_RELAXED);                    \
    }                                                                        \
    found_;                                                                  \
  })

// A wrapper is written as bc_NAME and exported as NAME, so that it never meets the header's own prototype.
#define EXPORT(ret, name, params)                                            \
  __attribute__((visibility("default"))) ret bc_##name params __asm__(#name); \
  ret bc_##name params

// Beside each wrapper: what the header says of it is what the wrapper says.
#define SAME_PROTOTYPE(name, ret, types) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(name), ret types), #name " is declared otherwise by the system")

#define ALIAS(ret, alias, name, types)                                       \
  __attribute__((visibility("default"), alias(#name))) ret bc_alias_##alias types __asm__(#alias)

#endif
