// One resource, two members, one server: every interleaving of charge, uncharge, grant, recall, recount and death.
// Each statement is one access to shared memory or one system call, as in Shim/credit.h, Shim/owned.h and
// Sources/Server/Accounting.swift. Operations are not numbered: the members go on for ever, in a finite set of states.
//
//   -DTHREADS=3  the first member has two threads
//   -DLIVE_BY_ONES  nobody dies and every charge is of one unit, so that three threads fit into memory
//   -DSTOPS      a member may be stopped between any two steps, so the server cannot wait for what is pending
//   -DM_…        one defect, for which there must be a counterexample (Tests/Model/check --mutants)
//
// Laws, asserted where something they speak of changes:
//   low      truth + unspent credit ≤ granted, for each member: the estimate never lies low
//   barrier  Σ granted ≤ barrier
//   denial   denied only if, at some instant of the decision, Σ truth + Σ reserved + n > barrier, where reserved is charged and
//            on its way into the kernel; with STOPS, Σ of each member's greatest truth + pending in that time, + n
//   sure     what is not marked as uncertain is exact once nothing is under way
//   found    a recount while nothing is under way makes granted − credit = truth
//   lost     when all have died, granted = 0
#ifndef THREADS
#define THREADS 2
#endif
#ifndef BARRIER
#define BARRIER 3
#endif
#define FROZEN (-50)
#define owner(thread) (thread % 2)

#ifdef M_PENDING_COUNTS_CALLS
#define begun(n) 1
#else
#define begun(n) (n)
#endif

// Shared between a member and the server: the cell.
short credit[2];
byte pending[2];
bit uncertain[2];
// The kernel's.
byte truth[2];
bit alive[2] = 1;
// The server's.
byte granted[2];
byte total;
bit ended[2];
// Between a thread and the server: 0, the units asked for, or the answer.
byte ask[THREADS];
#define GRANTED 3
#define DENIED 4
// The descriptors that are surely the member's alone (owned.h), a program's own knowledge.
byte own[2];
// For the laws only: units that the decision under way is about, whether they fitted all along, and a pause for the quiet.
byte need;
#ifdef STOPS
byte peak[2]; // truth + pending at its highest
#else
bit fits;
byte reserved[2]; // units charged for, the system call not yet done: held, as in the kernels
#endif
bit hush;
byte busy; // threads that are not idle, while all live

#ifdef STOPS
#define most(i) (truth[i] + pending[i] > peak[i] -> truth[i] + pending[i] : peak[i])
inline note() {
  peak[0] = (need -> most(0) : 0);
  peak[1] = (need -> most(1) : 0)
}
inline decision_begins() { need = n }
inline decision_ends() { need = 0; peak[0] = 0; peak[1] = 0 }
inline reserve(u) { note() }
inline forget() { skip }
inline fitted() { assert(peak[0] + peak[1] + need > BARRIER) }
#else
inline forget() { reserved[m] = 0 }
inline reserve(u) { reserved[m] = reserved[m] + u; note() }
inline note() { fits = fits && truth[0] + truth[1] + reserved[0] + reserved[1] + need <= BARRIER }
inline decision_begins() { need = n; fits = 1 }
inline decision_ends() { need = 0; fits = 0 }
inline fitted() { assert(!fits) }
#endif
#define asking(t) (ask[t] == 1 || ask[t] == 2)
#if THREADS > 2
#define asked (asking(0) || asking(1) || asking(2))
#else
#define asked (asking(0) || asking(1))
#endif

// The laws. What was held is looked at whenever it grows: `need` is not 0 only while a decision is under way.
inline low(i) { assert(truth[i] + (credit[i] > 0 -> credit[i] : 0) <= granted[i]) }

// Looks before it says that a charge is pending: an attempt on a frozen cell leaves no trace.
inline take_n() {
#ifdef M_SUBTRACT_AND_UNDO
  atomic { pending[m] = pending[m] + begun(n); note() }
  atomic { credit[m] = credit[m] - n; seen = credit[m] }
  if
  :: atomic { seen >= 0 -> reserve(n); seen = 0; goto call }
  :: else -> d_step { credit[m] = credit[m] + n; seen = 0 }
  fi;
  pending[m] = pending[m] - begun(n)
#else
#ifdef M_PENDING_BEFORE_LOOKING
  atomic { pending[m] = pending[m] + begun(n); note() }
#endif
  seen = credit[m];
#ifndef M_PENDING_BEFORE_LOOKING
  if
  :: seen < n -> goto refused
  :: else
  fi;
  atomic { pending[m] = pending[m] + begun(n); note() }
#endif
  do
  :: seen < n -> break
  :: else ->
    if
    :: atomic { credit[m] == seen -> credit[m] = credit[m] - n; reserve(n); seen = 0; goto call }
    :: atomic { credit[m] != seen -> seen = credit[m] }
    fi
  od;
  pending[m] = pending[m] - begun(n)
#endif
}

proctype Thread(byte t) {
  byte n;
  short seen;
  byte m = owner(t);
  {
idle:
    do
    :: atomic { !hush -> n = 1; busy++; goto take }
#ifndef LIVE_BY_ONES
    :: atomic { !hush -> n = 2; busy++; goto take }
#endif
    :: atomic { !hush && own[m] > 0 -> own[m]--; busy++; goto give }
    // Shared by dup or fork since: closing it may or may not have freed the description; here it did.
    :: atomic { !hush && own[m] > 0 -> own[m]--; busy++ }
#ifndef M_UNCERTAIN_WITHOUT_PENDING
      atomic { pending[m]++; note() }
#endif
      truth[m]--;
      uncertain[m] = 1;
#ifndef M_UNCERTAIN_WITHOUT_PENDING
      pending[m]--;
#endif
      busy--
    od;

take:
    take_n();
refused:
    atomic { seen = 0; ask[t] = n }
    if
    :: atomic { ask[t] == GRANTED -> ask[t] = 0; goto take }
    :: atomic { ask[t] == DENIED -> ask[t] = 0; n = 0; busy--; goto idle }
    fi;

call:
    if
    :: d_step { truth[m] = truth[m] + n; own[m] = own[m] + n; reserve(-n); low(m) }
    :: d_step { credit[m] = credit[m] + n; reserve(-n); low(m) } // the kernel refused
    fi;
    d_step { pending[m] = pending[m] - begun(n); n = 0; busy-- }
    goto idle;

give:
#ifdef M_CLOSE_BEFORE_PENDING
    truth[m]--;
    d_step { pending[m]++; note() }
    d_step { credit[m]++; low(m) }
#else
    atomic { pending[m]++; note() }
#ifdef M_CREDIT_BEFORE_CLOSE
    d_step { credit[m]++; low(m) }
    truth[m]--;
#else
    truth[m]--;
    d_step { credit[m]++; low(m) }
#endif
#endif
    d_step { pending[m]--; busy-- }
    goto idle
  } unless { d_step { !alive[m] -> n = 0; seen = 0 } }
}

// SIGKILL between any two steps.
proctype Death(byte m) {
end:
  d_step { !hush && alive[m] -> alive[m] = 0; truth[m] = 0; own[m] = 0; forget() }
}

inline give_back(i, c) {
  if
  :: c >= 0 && c <= granted[i] -> granted[i] = granted[i] - c; total = total - c
  :: else
  fi
}

inline recall() {
  i = 0;
  do
  :: i < 2 ->
#ifdef M_RECALL_BY_LOAD_AND_STORE
    c = credit[i];
    d_step { credit[i] = 0; give_back(i, c); c = 0; i++ }
#else
    d_step { c = credit[i]; credit[i] = 0; give_back(i, c); low(i); c = 0; i++ }
#endif
  :: else -> break
  od;
  i = 0
}

inline freeze() {
  i = 0;
  do
  :: i < 2 ->
    uncertain[i] = 0;
    d_step { c = credit[i]; credit[i] = FROZEN; give_back(i, c); c = 0; i++ }
  :: else -> break
  od;
  i = 0
}

// How many there are, and the word that credit is while that number stands: frozen, with what was released meanwhile.
inline count() {
  i = 0;
  do
  :: i < 2 -> atomic { counted[i] = truth[i]; i++ }
  :: else -> break
  od;
  i = 0
}

#define settled(i) (!alive[i] || pending[i] == 0)

// No charge can begin, so what is pending ends, unless its member is stopped.
inline drain() {
#ifdef STOPS
  skip;
#else
  settled(0) && settled(1);
#endif
  atomic { before[0] = pending[0] }
  atomic { before[1] = pending[1] }
}

// Counts a member again until its cell holds still meanwhile; sure[i] says that it did.
inline look_closer() {
  i = 0;
  do
  :: i < 2 ->
again:
    word[i] = credit[i];
    before[i] = pending[i];
    if
    :: before[i] == 0 || !alive[i] ->
      counted[i] = truth[i];
      if
      :: atomic { pending[i] != 0 && alive[i] -> goto again }
      :: pending[i] == 0 || !alive[i]
      fi;
      if
      :: atomic { credit[i] != word[i] && alive[i] -> goto again }
      :: atomic { credit[i] == word[i] || !alive[i] -> sure[i] = 1 }
      fi
    :: else ->
#ifdef STOPS
      if
      :: counted[i] = truth[i]
      :: atomic { settled(i) -> goto again }
      fi
#else
      atomic { settled(i) -> goto again }
#endif
    fi;
    i++
  :: else -> break
  od;
  i = 0
}

inline thaw() {
  i = 0;
  do
  :: i < 2 ->
    c = pending[i];
    d_step {
#ifndef M_PENDING_LOOKED_AT_AFTER
      c = (before[i] > c -> before[i] : c);
#endif
#ifdef M_PENDING_IGNORED
      c = 0;
#endif
      c = (alive[i] -> c : 0);
      c = (sure[i] -> 0 : c);
      c = (counted[i] + c < granted[i] -> counted[i] + c : granted[i]);
      c = (counted[i] > c -> counted[i] : c);
      total = total - granted[i] + c;
      granted[i] = c;
      counted[i] = 0;
      before[i] = 0;
      c = 0;
      assert(truth[i] <= granted[i]);
      assert(total <= BARRIER)
    }
    if
    // What was released since the count is credit.
    :: d_step { sure[i] && alive[i] -> credit[i] = credit[i] - word[i]; low(i) }
    // Releases may have ended before the count or after it: what stands in the books may be more than there is.
    :: d_step { !sure[i] || !alive[i] ->
      credit[i] = 0;
#ifndef M_RELEASES_FORGOTTEN
      uncertain[i] = 1;
#endif
      low(i)
    }
    fi;
    d_step { sure[i] = 0; word[i] = 0; i++ }
  :: else -> break
  od;
  i = 0
}

// Whether what is out is what is held, so that a recount would find nothing. Cells are frozen for it, or what is given back
// could be spent again unseen. In this order: what was pending for any member has ended and has given nothing back, then
// nothing is uncertain, and all live.
inline certain() {
#ifndef M_CERTAIN_WITHOUT_FREEZING
  d_step { c = credit[0]; credit[0] = FROZEN; give_back(0, c) }
  d_step { c = credit[1]; credit[1] = FROZEN; give_back(1, c) }
#endif
#ifndef M_CERTAIN_LOOKS_AT_PENDING_LAST
  sure[0] = pending[0] == 0;
  sure[1] = pending[1] == 0;
#else
  d_step { sure[0] = 1; sure[1] = 1 }
#endif
#ifndef M_CERTAIN_WITH_CREDIT
  sure[0] = sure[0] && (credit[0] == 0 || credit[0] == FROZEN);
  sure[1] = sure[1] && (credit[1] == 0 || credit[1] == FROZEN);
#endif
  i = 0;
  do
  :: i < 2 ->
    sure[i] = sure[i] && !uncertain[i];
#ifdef M_CERTAIN_LOOKS_AT_PENDING_LAST
    sure[i] = sure[i] && pending[i] == 0;
#endif
#ifndef M_CERTAIN_OF_THE_DEAD
    sure[i] = sure[i] && (alive[i] || ended[i]);
#endif
    i++
  :: else -> break
  od;
  i = 0;
  d_step { c = sure[0] && sure[1] && total + n > BARRIER; sure[0] = 0; sure[1] = 0 }
}

inline recount() {
#ifdef M_COUNT_BEFORE_FREEZE
  count();
  freeze();
  drain();
#else
  freeze();
  drain();
#ifdef M_COUNT_ONCE
  count();
#else
  look_closer();
#endif
#endif
  thaw()
}

inline grant() { amount = (total + n <= BARRIER -> n : 0) }

inline decide(thread) {
  atomic { ask[thread] == 1 || ask[thread] == 2 -> q = thread; n = ask[thread]; m = owner(thread) }
  goto decision
}

proctype Server() {
  byte q, n, m, i, amount;
  byte counted[2], before[2];
  bit sure[2];
  short word[2];
  short c;
end:
idle:
  do
  :: decide(0)
  :: decide(1)
#if THREADS > 2
  :: decide(2)
#endif
  :: d_step { !alive[0] && !ended[0] -> ended[0] = 1; total = total - granted[0]; granted[0] = 0 }
  :: d_step { !alive[1] && !ended[1] -> ended[1] = 1; total = total - granted[1]; granted[1] = 0 }
  :: atomic { ended[0] && ended[1] && !asked -> assert(total == 0); goto over }
  :: atomic { alive[0] && alive[1] -> hush = 1; goto quiet }
  od;

decision:
  if
#ifdef M_ZOMBIES_ASK
  :: true
#else
  :: atomic { ended[m] -> ask[q] = 0; goto decided } // died between its question and the answer
  :: !ended[m]
#endif
  fi;
  d_step { decision_begins(); note() }
  grant();
  if
  :: amount && total + n < BARRIER -> amount++; goto give // a batch: any size the server's share may have
  :: amount -> goto give
  :: else
  fi;
  recall();
  grant();
  if :: amount -> goto give :: else fi;
#ifdef M_DENY_ON_ESTIMATE
  goto deny;
#endif
  certain();
  if
  :: c ->
#ifndef M_CERTAIN_WITHOUT_FREEZING
    d_step { credit[0] = credit[0] - FROZEN; low(0) }
    d_step { credit[1] = credit[1] - FROZEN; low(1) }
#endif
    c = 0;
    goto deny
  :: else
  fi;
  recount();
  grant();
  if :: amount -> goto give :: else fi;
#ifdef M_COUNT_ONCE
  recount(); // once more, for what moved
  grant();
  if :: amount -> goto give :: else fi;
#endif
deny:
  atomic { fitted(); ask[q] = DENIED; decision_ends(); goto decided }

give:
  atomic {
    granted[m] = granted[m] + amount;
    total = total + amount;
    assert(total <= BARRIER);
    credit[m] = credit[m] + amount;
    decision_ends()
  }
  ask[q] = GRANTED;

decided:
  atomic { q = 0; n = 0; m = 0; amount = 0; goto idle }

  // Nothing begins; what is under way has ended.
quiet:
  if
  :: d_step { busy == 0 ->
      assert(uncertain[0] || granted[0] - credit[0] == truth[0]);
      assert(uncertain[1] || granted[1] - credit[1] == truth[1])
    }
    recount();
    d_step {
      assert(granted[0] - credit[0] == truth[0]);
      assert(granted[1] - credit[1] == truth[1]);
      hush = 0
    }
  :: d_step { asked -> hush = 0 } // somebody asks: another time
  fi;
  goto idle;
over:
  skip
}

init {
  atomic {
    byte k = 0;
    do
    :: k < THREADS -> run Thread(k); k++
    :: else -> break
    od;
#ifndef LIVE_BY_ONES
    run Death(0);
    run Death(1);
#endif
    run Server()
  }
}
