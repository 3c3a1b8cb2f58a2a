// Births booked ahead (Sources/Server/Births.swift, Loading.swift, Notes.swift, Shim/task.c): a parent that forks without asking
// while the server takes bookings and lease back; its children, which join before or after their note, or die before either;
// and another member, which wants all the room there is. Amounts are leases; each process has at least 1.
//
//   -DTHREADS=2  the parent has two threads
//   -DSTOPS      the parent may be stopped for ever between any two steps
//   -DM_…        one defect, for which there must be a counterexample (Tests/Model/check --mutants)
//
// Laws:
//   low      what processes have and may take by themselves ≤ granted: the kernel holds each to the greater of its limit and its data
//   barrier  Σ granted ≤ barrier
//   spare    births in the page, under way and noted are as many as are booked
//   denial   refused only if, at some instant of the decision, what is had + what is under way + what is asked for > barrier
//   later    told to wait only while a fork is under way
//   lost     when all have died, granted = 0
#ifndef THREADS
#define THREADS 1
#endif
#ifndef BARRIER
#define BARRIER 5
#endif
#define PARENT 0
#define OTHER 3
#define PROCESSES 4
#define MOST_LEASE 2
#define MOST_BIRTHS 2

// The kernel's.
byte limit[PROCESSES], data[PROCESSES]; // RLIMIT_DATA, and private writable pages
bit alive[PROCESSES], exists[PROCESSES]; // a zombie exists and is not alive
// Shared: the parent's page.
short spare;            // births that may be had without asking; below 0, so many of those under way are spent
bit note[PROCESSES];
byte forking;           // pending of numproc
// The server's.
byte lease, births, copied;
bit overParent;         // its end has been seen
byte granted[PROCESSES];
byte total;
bit member[PROCESSES], zombie[PROCESSES], ahead[PROCESSES];
// Questions: 0, what is asked, or the answer.
#define COPY 1
#define MORE 2
#define JOIN 3
#define GRANTED 4
#define DENIED 5
#define LATER 6
byte ask[PROCESSES + 1]; // the parent's second thread is the last
#define asked(q) (ask[q] == COPY || ask[q] == MORE || ask[q] == JOIN)
// For the laws only.
bit named[PROCESSES];   // some thread is about to write a note for it
byte taken;             // births taken whose fork is not done yet
byte need, copies;      // of the decision under way: units asked for
bit fits, idle;         // … and whether they fitted, and nothing was under way, all along

#define most(a, b) ((a) > (b) -> (a) : (b))
#define may(i) (alive[i] -> most(limit[i], data[i]) : 0)
#define has(i) (alive[i] -> data[i] : 0)
#define held (has(0) + has(1) + has(2) + has(3) + (alive[0] -> taken * (data[0] + copies) : 0))
#define under_way (taken || named[1] || named[2] || note[1] || note[2])
inline look() {
  fits = fits && held + need <= BARRIER;
  idle = idle && !(alive[PARENT] && under_way);
  assert(may(0) + may(1) + may(2) + (alive[0] -> taken * most(limit[0], data[0]) : 0) <= granted[0] + granted[1] + granted[2]);
  assert(may(3) <= granted[3])
}
