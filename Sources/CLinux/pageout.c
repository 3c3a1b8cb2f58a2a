#include "clinux.h"

#include <link.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/uio.h>

static int forget_code(struct dl_phdr_info *program, size_t size, void *unused) {
  (void)size, (void)unused;
  for (int i = 0; i < program->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &program->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || (part->p_flags & (PF_X | PF_W)) != PF_X) continue;
    uintptr_t start = (program->dlpi_addr + part->p_vaddr + 4095) & ~(uintptr_t)4095;
    uintptr_t end = (program->dlpi_addr + part->p_vaddr + part->p_memsz) & ~(uintptr_t)4095;
    if (start < end) madvise((void *)start, end - start, MADV_DONTNEED);
  }
  return 1; // the program itself comes first
}

void clinux_forget_start(void) { dl_iterate_phdr(forget_code, NULL); }

int clinux_page_out(int pidfd, unsigned long at, size_t size) {
  struct iovec part = {(void *)at, size};
  return syscall(SYS_process_madvise, pidfd, &part, 1, MADV_PAGEOUT, 0) < 0 ? errno : 0;
}

enum { PAGE = 4096, PAGES = 256 }; // more than wait in a processor's batch to be put on the list of pages (PAGEVEC_SIZE)

// proc(5) pagemap: bit 62 says that a page is in swap, also to those who may not see where.
static bool some_swapped(pid_t pid, const char *at) {
  char path[32];
  uint64_t entries[PAGES];
  snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : pread(fd, entries, sizeof entries, (off_t)((uintptr_t)at / PAGE * sizeof *entries));
  if (fd >= 0) close(fd);
  for (ssize_t i = 0; i < n / (ssize_t)sizeof *entries; i++)
    if (entries[i] >> 62 & 1) return true;
  return false;
}

static int page_out_of(pid_t child, char *at) {
  int pidfd = pidfd_open(child, 0);
  if (pidfd < 0) return errno;
  int error = clinux_page_out(pidfd, (unsigned long)at, PAGES * PAGE);
  close(pidfd);
  return error ? error : some_swapped(child, at) ? 0 : CLINUX_PAGES_STAY;
}

int clinux_try_page_out(void) {
  char *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int ready[2], status;
  if (at == MAP_FAILED) return errno;
  if (pipe2(ready, O_CLOEXEC) < 0) return munmap(at, PAGES * PAGE), errno;
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(at, 1, PAGES * PAGE);
    if (write(ready[1], "", 1) == 1) pause();
    _exit(1);
  }
  int error = child < 0 ? errno : 0;
  close(ready[1]);
  char byte;
  if (child > 0) {
    error = read(ready[0], &byte, 1) == 1 ? page_out_of(child, at) : ECHILD;
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  }
  close(ready[0]);
  munmap(at, PAGES * PAGE);
  return error;
}
