// Ends at once: linked statically, without libc.
__attribute__((noreturn)) void _start(void) {
  for (;;) __asm__ volatile("syscall" : : "a"(231), "D"(0) : "rcx", "r11", "memory");
}
