// The one definition of what a member and the server say to each other: the messages of the slow path,
// and the page of cells that carries the fast path. Included by the shim, imported by Swift.
#ifndef BEANCOUNTER_WIRE_H
#define BEANCOUNTER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BC_WIRE_MAGIC 0x62633036u // "bc06": changes with every change of layout

// Indices of the kernels' ub_rnames[] (OpenVZ 2.6.18 kernel/ub/beancounter.c), so that row order is index order.
enum bc_resource {
  BC_KMEMSIZE = 0, BC_LOCKEDPAGES = 1, BC_PRIVVMPAGES = 2, BC_SHMPAGES = 3, BC_NUMPROC = 5,
  BC_PHYSPAGES = 6, BC_VMGUARPAGES = 7, BC_OOMGUARPAGES = 8, BC_NUMTCPSOCK = 9, BC_NUMFLOCK = 10,
  BC_NUMPTY = 11, BC_NUMSIGINFO = 12, BC_TCPSNDBUF = 13, BC_TCPRCVBUF = 14, BC_OTHERSOCKBUF = 15,
  BC_DGRAMRCVBUF = 16, BC_NUMOTHERSOCK = 17, BC_DCACHESIZE = 18, BC_NUMFILE = 19, BC_NUMIPTENT = 23,
  BC_SWAPPAGES = 24,
  BC_NUMINOTIFY = 25, // not of the kernels' table: what fs.inotify.max_user_instances bounds for a user
  BC_RESOURCES = 32
};

enum bc_severity { BC_HARD = 0, BC_SOFT = 1, BC_FORCE = 2 };

enum bc_kind {
  BC_JOIN = 1,    // from the first charge of an image or of a forked child: the answer brings its page
  BC_CHARGE,      // amount units of resource; the answer has put them into the cell
  BC_VERIFY,      // a new maximum would rest on an estimate: recount, then go on
  BC_MEMORY,      // the lease refused amount bytes; want is what would be comfortable. want 0: amount bytes are to be given back
  BC_HELLO,       // from the constructor of an image whose lease asks for it: its loader is done; want: its key
  BC_FORK,        // a child is about to be made, memory has a bound and no birth is to spare; want: the key of its image, or 0
  BC_FORKED,      // … and is process `child`, told so because all notes of the page are in use; want: 1 with a birth booked
  BC_EXEC,        // this process is about to run the image named in detail; want: its key, or 0
  BC_EXEC_FAILED, // … and did not
  BC_OWN_LIMIT,   // the program set its own RLIMIT_DATA to amount bytes
  BC_VIEW,        // the file of /proc named in detail, as the beancounter has it: whether it is there; amount 1: its text
  BC_BUFFER,      // a socket that buffers `want` bytes of resource now wants to be let to buffer `amount`
  BC_BORROW,      // descriptor `want` of the process behind pidfd `amount` is about to be copied here
  BC_SEALED,      // a filter of system calls forbids all questions from now on, also to what it starts
};

// How a child comes to be, for BC_FORK.
enum bc_birth {
  BC_COPY = 0,  // fork: it gets a copy of the memory
  BC_IMAGE = 1, // vfork, posix_spawn, system, popen: it will run a new image
};

enum {
  BC_FLAG_NORESERVE = 1, BC_FLAG_ONE_WAY = 2, BC_FLAG_FINAL = 4,
  BC_FLAG_FORCED = 8,   // SO_SNDBUFFORCE and its like
  BC_FLAG_NUMBERS = 64, // detail is no text but struct bc_numbers: what the server puts into words
  BC_FLAG_INTENT = 128, // BC_MEMORY: nothing has been refused, only whether the call is to fail on request is asked
};

// A lease is a soft RLIMIT_DATA of whole pages. Below the size of a page, where the kernel does not look (mm/mmap.c
// may_expand_vm), stands what the two sides tell each other of it. prlimit(2) with an old value is an exchange: whoever sets
// the word learns what the other had set before.
#define BC_LEASE_MARK 0xbc0u // it is a lease, and no limit of the user's (ulimit -d counts in KiB)
#define BC_LEASE_STATE 0x00fu
#define BC_LEASE_BELOW 0xfffu
enum bc_lease {
  BC_LEASE_LOADED = 1, // the image that has it is loaded: what it does not use may be taken back
  BC_LEASE_EXEC = 2,   // … is about to be loaded, by a process that relies on BC_HEAD_ROOM and has not asked
  BC_LEASE_RECALL = 4, // is about to be taken back: who runs an image has to ask
  BC_LEASE_HELLO = 8,  // the image that inherits it is to say when it is loaded
};
// Enough for an image that is known: one that took less than three quarters of it once.
enum { BC_HEAD_ROOM = 16 << 20 };

static inline bool bc_lease_is(uint64_t word) { return (word & BC_LEASE_BELOW & ~BC_LEASE_STATE) == BC_LEASE_MARK; }
static inline uint64_t bc_lease_word(uint64_t bytes, unsigned state) {
  return (bytes & ~(uint64_t)BC_LEASE_BELOW) | BC_LEASE_MARK | state;
}

struct bc_request {
  uint32_t magic;
  uint16_t kind;     // enum bc_kind
  uint8_t resource;  // enum bc_resource
  uint8_t severity;  // enum bc_severity
  uint64_t token[2]; // membership: unguessable, one for each beancounter
  int64_t amount;    // items, or bytes for BC_MEMORY
  int64_t want;
  int32_t thread;    // kernel thread id of whoever asks
  int32_t child;
  uint16_t flags;
  uint16_t birth;    // enum bc_birth
  int32_t parent;    // BC_JOIN: the parent process, as it sees it
  char call[24];     // the function that asks
  int32_t socket;    // the descriptor that the question travels on: not the program's
  uint32_t again;    // how often it has been told BC_ANSWER_LATER (bc_nap)
  char detail[152];  // its path or size, for people
};
_Static_assert(sizeof(struct bc_request) == 240, "the wire has no holes");

// Milliseconds to let pass before a question is put for the again-th time. What a charge waits for may take long where many
// run, and each question costs the server as much: those of a charge become fewer.
static inline uint32_t bc_nap(uint16_t kind, uint32_t again) {
  return kind != BC_CHARGE || again == 0 ? 1 : 1u << (again < 5 ? again - 1 : 4);
}
// … and what a charge has waited so.
static inline uint32_t bc_waited(uint32_t again) { return again < 5 ? (1u << again) - 1 : 15 + 16 * (again - 4); }

// Arguments of a call that has no path or name to show, in its own order; what each means depends on the call.
struct bc_numbers {
  int64_t at[3];
};

struct bc_answer {
  uint32_t magic;
  int32_t error;     // 0 or the errno of the resource: the caller maps it to its own
  int64_t granted;   // bytes of lease that the member is to set itself; 0: nothing to do
  int64_t own_limit; // the program's own RLIMIT_DATA, -1 when it never set one
  uint32_t flags;
  uint32_t reserved;
  int64_t memory[2]; // to a BC_VIEW of meminfo: bytes of memory in all, and left
};
enum {
  BC_ANSWER_LEASED = 1,        // memory has a bound: ask before exec and fork
  BC_ANSWER_UNCHANGED = 2,     // the lease was not what refused: the kernel's answer stands
  BC_ANSWER_ALLOW_ON_LOSS = 4, // --on-server-loss=allow
  BC_ANSWER_OPENVZ_ERRNO = 8,  // --errno=openvz
  BC_ANSWER_UNCHARGED = 16,    // to BC_CHARGE and BC_VERIFY: the server keeps no such row, the call goes on
  BC_ANSWER_LOCKED = 32,       // locks of an earlier image survived its exec: the shim does not know their ranges
  BC_ANSWER_WITNESS = 64,      // registers and a slice of the stack are wanted, on the same connection
  BC_ANSWER_REJOIN = 128,      // the page is not one the server knows: join again
  BC_ANSWER_LATER = 512,       // something is on its way, and may give room back in a moment: ask again
  BC_ANSWER_MEMINFO = 1024,    // --meminfo: /proc/meminfo and its like show the beancounter's memory
  BC_ANSWER_SURE = 2048,       // what came is to be taken, though a new maximum would rest on it
  BC_ANSWER_BUFFERS = 1 << 16, // a row of socket buffers has a bound: ask where a socket is made, or its buffers grow
  BC_ANSWER_TAKEN = 1 << 17,   // the units are charged, and their call is under way (the cell is frozen: no credit comes)
  BC_ANSWER_KNOWN = 256,       // the shim's own: the flags are those of a page it has had
};

// --- the witness: what follows an answer with BC_ANSWER_WITNESS, on the same connection --------------------------------

#define BC_WITNESS_MAGIC 0x62637774u // "bcwt"
#define BC_WITNESS_VERSION 1u

enum {
  BC_WITNESS_REGISTERS = 33, // aarch64 has most: x0 … x30, sp, pc
  BC_WITNESS_SLICES = 2,     // the stack in use; and, on a signal stack, the one that the signal interrupted
  BC_WITNESS_SLICE_LEAST = 16 * 1024,
  BC_WITNESS_SLICE_MOST = 64 * 1024,
};

// Stack bytes from `start` up. They follow the header, in order, without gaps.
struct bc_witness_slice {
  uint64_t start;
  uint32_t length;
  uint32_t reserved;
};

// Followed by the bytes of its slices, all in one message of the SEQPACKET socket.
struct bc_witness {
  uint32_t magic;
  uint16_t version;
  uint16_t machine;       // EM_X86_64, EM_AARCH64: says what the registers are
  uint64_t known;         // bit n: registers[n] has been captured
  uint64_t stack_pointer; // of the frame that captured
  uint64_t registers[BC_WITNESS_REGISTERS]; // by DWARF number; x86-64: 16 is rip, 7 rsp; aarch64: 32 pc, 31 sp
  struct bc_witness_slice slices[BC_WITNESS_SLICES];
};
_Static_assert(sizeof(struct bc_witness) == 320, "the wire has no holes");

// One resource of one member. credit is shared ground; granted is the server's word, copied here.
//
//   charge:   pending += 1, then CAS(credit, credit − n), then the system call, then pending −= 1
//   uncharge: pending += 1, then the system call, then credit += n, then pending −= 1
//   recall:   the server's xchg(credit, 0): needs no answer, works on a stopped or dead process
//   slow:     frozen for longer: every charge asks, and the answer takes the units (BC_ANSWER_TAKEN)
//   recount:  the server freezes credit at bc_frozen(), so that no charge can begin, and counts; releases
//             add to the frozen word and are seen when it thaws. What is pending counts as held.
struct bc_cell {
  int64_t credit;    // units that may be charged without asking
  int64_t low;       // least credit since the server last looked: the peak of use
  int64_t granted;   // units out to this member, spent or not
  int32_t pending;   // charges and releases that have begun and not ended (bc_pending), and charges that ever began (bc_begun)
  int32_t uncertain; // enum bc_sureness
};

enum bc_sureness {
  BC_SURE = 0,
  BC_UNSURE = 1, // there were releases whose effect only a recount knows (a shared description was closed)
  BC_ARMED = 2,  // sure, but every charge is to ask: with low at its greatest, each seems to be a new maximum
};
// From here on low is no credit: every charge is to ask.
static inline int64_t bc_low_armed(void) { return INT64_MAX - 1; }

static inline int64_t bc_frozen(void) { return INT64_MIN / 2; }

// A child that the server has not heard of yet: written by its parent after the fork, taken by the server when it next
// looks, or by the parent itself when it has reaped the child. Whoever sets the word to 0 has its unit of numproc.
enum { BC_NOTES = 16, BC_NOTE_PATH = 104 };
enum bc_note {
  BC_NOTE_FREE = 0,
  BC_NOTE_WRITING = -1,
  BC_NOTE_OVER = -2,   // libc kept the number to itself (system), and the child has gone
  BC_NOTE_SECRET = -3, // … (popen), and it is there
};

// A question and its answer where no socket can carry them: a filter of system calls forbids it, no name of the server's
// can be reached, no descriptor is free. `state` is a futex. The server looks at every mailbox at each of its ticks, and
// sleeps on those that have been used before.
//
//   FREE → WRITING → ASKED      by a thread of the member, which may also take an ASKED back
//   ASKED → TAKEN → ANSWERED    by the server; then back to FREE by the thread
enum bc_mail { BC_MAIL_FREE = 0, BC_MAIL_WRITING, BC_MAIL_ASKED, BC_MAIL_TAKEN, BC_MAIL_ANSWERED };
struct bc_mailbox {
  int32_t state; // enum bc_mail
  int32_t reserved;
  struct bc_request request;
  struct bc_answer answer;
};

// Why what a member starts cannot ask.
enum bc_muted {
  BC_MUTED_NOT = 0,
  BC_MUTED_FILTER = 1, // a filter of system calls: images that it starts know nothing of it, so they are counted from outside
  BC_MUTED_FAR = 2,    // no name of the server can be reached from its root directory and network namespace
  BC_MUTED_UNSEEN = 3, // the library is not to be found from its root directory; the member itself goes on as ever
};

// Obtained something through syscall(2), or has what no call was seen for: what it does inline cannot be seen. Or it surely does
// all of it inline: Go.
enum bc_raw { BC_RAW_NONE = 0, BC_RAW_SEEN = 1, BC_RAW_ALWAYS = 2 };

// What a member shares with the server: this page; spare ones, which children of a muted member take for themselves, for
// nobody can send them one; then one word for each descriptor.
#define BC_PAGE_SIZE 4096u
#define BC_SPARES 15u
#define BC_OWNED_FDS 65536u
enum { BC_ASKING = 8, BC_KNOWN = 64 };
// The mode of a question's socket: whoever has it, also by inheritance, does not hold it as the program's. Numbers beyond are
// not looked for in a forked child.
#define BC_QUESTION_MODE 01357
enum { BC_QUESTION_FDS = 1024 };
#define BC_ASKING_MOVES (-1) // the socket of a question is being opened or closed
struct bc_page {
  uint32_t magic;
  uint32_t generation; // of descriptor ownership; moves on with every fork. 1 … BC_GENERATIONS, | BC_FORKS | BC_RANGES_HELD
  uint32_t raw_calls;  // enum bc_raw
  uint32_t flags;      // BC_ANSWER_*
  int32_t forking;     // children under way whose note is not written yet, while memory has a bound
  int32_t births;      // children that may be made without asking: a lease like this process's is booked for each
  uint64_t duplicating; // calls that duplicate descriptors: how many are under way, and how many have begun << 16
  int32_t claimed;     // of a spare page: a child has taken it
  int32_t muted;       // enum bc_muted
  int32_t out_of_spares; // some child found none, and is counted from outside
  int32_t alone;       // the server found no descriptor here that another process has, and none has been shared since
  int32_t asking[BC_ASKING]; // descriptors + 1 of questions under way: the shim's, not the program's; or BC_ASKING_MOVES
  int32_t notes[BC_NOTES];   // children, or enum bc_note
  char paths[BC_NOTES][BC_NOTE_PATH]; // what each was started from; empty for a fork
  uint8_t born[BC_NOTES];    // 1 where a birth was booked for it: it goes with the note
  struct bc_cell cells[BC_RESOURCES];
  // Threads that were charged and made, and those of them that have ended and are given back. A thread's end is seen by nobody:
  // what the two differ by is compared with the kernel's count where it matters.
  int32_t threads_made;
  int32_t threads_ended;
  uint32_t known_count;      // images learned so far, ever
  uint32_t reserved;
  uint64_t known[BC_KNOWN];  // keys of images that BC_HEAD_ROOM is enough for, the newest over the oldest
  struct bc_mailbox mail;
};
_Static_assert(sizeof(struct bc_page) <= BC_PAGE_SIZE, "the cells fit in their page");

#define BC_OWNED_AT 65536u // a plain number: Swift does not import a computed one
_Static_assert(BC_OWNED_AT == (1 + BC_SPARES) * BC_PAGE_SIZE, "the table follows the pages");
#define BC_OWNED_SIZE (BC_OWNED_FDS * sizeof(uint16_t))
#define BC_MEMFD_SIZE (BC_OWNED_AT + BC_OWNED_SIZE + 4096u) // and the groups (groups.h)

// An owned descriptor: generation << 3 | what it is. Anything else in the word means "not surely ours alone", or is its group
// of descriptors of one description (groups.h).
enum bc_owned {
  BC_OWNED_FILE = 1, BC_OWNED_TCP = 2, BC_OWNED_OTHER = 3, BC_OWNED_PTY = 4, BC_OWNED_INOTIFY = 5,
  BC_OWNED_FLOCKED = 6, // a file, and one numflock for the flock(2) lock of its description
  BC_OWNED_WATCHED = 7, // a file that the server has marked: it sees that way when it is closed
};
#define BC_GENERATIONS 8191u
// Forks under way, counted: while there are some, no word matches.
#define BC_ONE_FORK 0x10000u
#define BC_FORKS 0x7fff0000u
// Set in page.generation while the shim knows of byte ranges locked by this process: no word matches it, so that every
// close takes the path that looks whether it drops some.
#define BC_RANGES_HELD 0x80000000u

// Swift does not import _Atomic fields: plain words, atomic accessors.
static inline int64_t bc_load(const int64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline void bc_store(int64_t *word, int64_t v) { __atomic_store_n(word, v, __ATOMIC_SEQ_CST); }
static inline int64_t bc_exchange(int64_t *word, int64_t v) { return __atomic_exchange_n(word, v, __ATOMIC_SEQ_CST); }
static inline int64_t bc_add(int64_t *word, int64_t v) { return __atomic_fetch_add(word, v, __ATOMIC_SEQ_CST); }
static inline int32_t bc_add32(int32_t *word, int32_t v) { return __atomic_fetch_add(word, v, __ATOMIC_SEQ_CST); }
static inline int32_t bc_load32(const int32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline int32_t bc_exchange32(int32_t *word, int32_t v) { return __atomic_exchange_n(word, v, __ATOMIC_SEQ_CST); }
static inline bool bc_cas32(int32_t *word, int32_t seen, int32_t v) {
  return __atomic_compare_exchange_n(word, &seen, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline bool bc_cas(int64_t *word, int64_t *seen, int64_t v) {
  return __atomic_compare_exchange_n(word, seen, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline size_t bc_memfd_size(void) { return BC_MEMFD_SIZE; }
// Of the page that came first in its memfd. The table of a process that took a spare one is its own.
static inline uint16_t *bc_owned_words(struct bc_page *page) { return (uint16_t *)(void *)((char *)page + BC_OWNED_AT); }
// A descriptor that its owner has: 1 when it is a plain file, which is marked now, 2 when it is a socket or the like, which has no
// mark; 0 when it is nobody's for sure.
static inline int bc_owned_watch(struct bc_page *page, uint32_t fd) {
  uint16_t *word = bc_owned_words(page) + fd % BC_OWNED_FDS;
  uint16_t was = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  if ((was & 7) != BC_OWNED_FILE) return (was & 7) && (was & 7) != BC_OWNED_WATCHED ? 2 : 0;
  return __atomic_compare_exchange_n(word, &was, was | BC_OWNED_WATCHED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
// Closing takes the word away, whatever has been forked since.
static inline bool bc_owned_is_watched(struct bc_page *page, uint32_t fd) {
  return (__atomic_load_n(bc_owned_words(page) + fd % BC_OWNED_FDS, __ATOMIC_SEQ_CST) & 7) == BC_OWNED_WATCHED;
}
// A descriptor, or less than 0. Any word may stand in a member's page: the difference wraps.
static inline int32_t bc_page_asking(struct bc_page *page, unsigned i) {
  return (int32_t)((uint32_t)__atomic_load_n(&page->asking[i % BC_ASKING], __ATOMIC_SEQ_CST) - 1);
}
static inline bool bc_page_question_moves(struct bc_page *page) {
  for (unsigned i = 0; i < BC_ASKING; i++)
    if (__atomic_load_n(&page->asking[i], __ATOMIC_SEQ_CST) == BC_ASKING_MOVES) return true;
  return false;
}
static inline struct bc_page *bc_page_spare(struct bc_page *page, unsigned i) {
  return (struct bc_page *)((char *)page + (1 + i % BC_SPARES) * BC_PAGE_SIZE);
}
static inline size_t bc_page_credit_at(unsigned resource) {
  return offsetof(struct bc_page, cells) + resource % BC_RESOURCES * sizeof(struct bc_cell) + offsetof(struct bc_cell, credit);
}
static inline int32_t *bc_page_claimed(struct bc_page *page) { return &page->claimed; }
static inline int32_t *bc_page_muted(struct bc_page *page) { return &page->muted; }
static inline int32_t *bc_page_out_of_spares(struct bc_page *page) { return &page->out_of_spares; }
static inline int32_t *bc_page_mail(struct bc_page *page) { return &page->mail.state; }
static inline size_t bc_page_births_at(void) { return offsetof(struct bc_page, births); }
static inline int32_t *bc_page_births(struct bc_page *page) { return &page->births; }
static inline int32_t *bc_page_threads_made(struct bc_page *page) { return &page->threads_made; }
static inline int32_t *bc_page_threads_ended(struct bc_page *page) { return &page->threads_ended; }
// After a count of the tasks of a process, with its cell frozen; what was made since makes no difference.
static inline void bc_page_threads_counted(struct bc_page *page, int32_t tasks) {
  bc_exchange32(&page->threads_ended, (int32_t)((uint32_t)bc_load32(&page->threads_made) - (uint32_t)(tasks - 1)));
}
static inline bool bc_page_born(struct bc_page *page, unsigned i) {
  return __atomic_load_n(&page->born[i % BC_NOTES], __ATOMIC_SEQ_CST) != 0;
}
static inline void bc_page_know(struct bc_page *page, uint32_t count, uint64_t key) {
  __atomic_store_n(&page->known[count % BC_KNOWN], key, __ATOMIC_SEQ_CST);
  __atomic_store_n(&page->known_count, count + 1, __ATOMIC_SEQ_CST);
}
static inline void bc_page_makes_raw_calls(struct bc_page *page) {
  uint32_t none = BC_RAW_NONE;
  __atomic_compare_exchange_n(&page->raw_calls, &none, BC_RAW_SEEN, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
static inline int32_t *bc_page_forking(struct bc_page *page) { return &page->forking; }
static inline int32_t *bc_page_alone(struct bc_page *page) { return &page->alone; }
// No other process has what it holds, and it obtains nothing unseen: so a count of its descriptors has nothing to find.
static inline bool bc_page_shares_nothing(struct bc_page *page) { return bc_load32(&page->alone) != 0 && page->raw_calls == BC_RAW_NONE; }
static inline uint32_t bc_page_generation(struct bc_page *page) {
  return __atomic_load_n(&page->generation, __ATOMIC_SEQ_CST) & 0x7fffffffu;
}
// The word of a descriptor, where the whole of a member's memory is mapped.
static inline uint16_t *bc_page_word(struct bc_page *page, int fd) {
  return (unsigned)fd < BC_OWNED_FDS ? bc_owned_words(page) + fd : 0;
}
static inline void bc_store16(uint16_t *word, uint16_t v) { __atomic_store_n(word, v, __ATOMIC_SEQ_CST); }
static inline uint16_t bc_load16(const uint16_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline bool bc_cas16(uint16_t *word, uint16_t seen, uint16_t v) {
  return __atomic_compare_exchange_n(word, &seen, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline int32_t *bc_page_note(struct bc_page *page, unsigned i) { return &page->notes[i % BC_NOTES]; }
// Copied, for it is the member's to change while it is read.
struct bc_note_path { char text[BC_NOTE_PATH]; };
static inline struct bc_note_path bc_page_note_path(struct bc_page *page, unsigned i) {
  struct bc_note_path copy;
  for (unsigned n = 0; n < BC_NOTE_PATH; n++) copy.text[n] = ((volatile char *)page->paths[i % BC_NOTES])[n];
  copy.text[BC_NOTE_PATH - 1] = 0;
  return copy;
}
static inline const char *bc_note_path_text(const struct bc_note_path *p) { return p->text; }
// Zero-filled, its one long text ended: a message from a member is never trusted to be.
static inline void bc_request_clean(struct bc_request *r) {
  r->call[sizeof r->call - 1] = 0;
  r->detail[sizeof r->detail - 1] = 0;
}
static inline const char *bc_request_call(const struct bc_request *r) { return r->call; }
static inline const char *bc_request_detail(const struct bc_request *r) { return r->detail; }
static inline struct bc_numbers bc_request_numbers(const struct bc_request *r) {
  struct bc_numbers n;
  for (unsigned i = 0; i < sizeof n; i++) ((char *)&n)[i] = r->detail[i]; // of no alignment
  return n;
}
static inline struct bc_cell *bc_page_cell(struct bc_page *page, unsigned resource) {
  return &page->cells[resource % BC_RESOURCES];
}
// A charge that begins is counted in the upper 12 bits of the same word: that costs no instruction, and says how many there were
// that nobody asked for. The lower 20 hold what is pending, for close_range(2) may close 65536 at once.
enum { BC_BEGINS = 0x100001, BC_BEGUN_MOST = 0xfff };
static inline int32_t bc_pending_in(int32_t word) { return (int32_t)((uint32_t)word << 12) >> 12; }
static inline int32_t bc_pending(const struct bc_cell *cell) { return bc_pending_in(bc_load32(&cell->pending)); }
static inline uint32_t bc_begun(const struct bc_cell *cell) {
  int32_t word = bc_load32(&cell->pending);
  return ((uint32_t)word - (uint32_t)bc_pending_in(word)) >> 20;
}
static inline bool bc_is_unsure(const struct bc_cell *cell) { return bc_load32(&cell->uncertain) == BC_UNSURE; }
// Nothing of a row is on its way, or unsure. Pending first: whoever makes something unsure, or gives it back, does so before it
// is no longer pending.
static inline bool bc_page_at_rest(struct bc_page *page, unsigned resource) {
  const struct bc_cell *cell = bc_page_cell(page, resource);
  return bc_pending(cell) == 0 && bc_pending(bc_page_cell(page, BC_NUMFILE)) == 0 && !bc_is_unsure(cell) &&
         page->raw_calls == BC_RAW_NONE;
}

#endif
