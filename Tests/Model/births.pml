// Births booked ahead (Sources/Server/Births.swift, Loading.swift, Notes.swift, Shim/task.c): a parent that forks without asking
// while the server takes bookings and lease back; children that join before or after their note, or die before either; and
// another member, which wants all the room there is. Amounts are leases; nobody has less than 1.
//
//   -DTHREADS=2  the parent has two threads
//   -DLIVES      only children die
//   -DDENIALS    denial and later are looked at too
//   -DM_…        one defect, for which there must be a counterexample (Tests/Model/check --mutants)
//
// Laws:
//   bound    what processes have, and may take without asking, is within the barrier
//   low      … and no more than is granted: the kernel holds each to the greater of its limit and what it has
//   barrier  Σ granted ≤ barrier after every grant (a child that is found is booked whatever the bounds say)
//   denial   refused only if the most that each had, or had under way, at any instant of the decision + what is asked for > barrier:
//            memory is looked at in one process after the other, and cannot be frozen
//   later    told to wait only while a fork, or an end, is under way
//   lost     when all have died, granted = 0
#ifndef THREADS
#define THREADS 1
#endif
#ifndef BARRIER
#define BARRIER 5
#endif
#ifndef MOST_BIRTHS
#define MOST_BIRTHS 2
#endif
#define MOST_LEASE 2
#define PARENT 0
#define OTHER 3
#define PROCESSES 4

// The kernel's.
byte limit[PROCESSES], data[PROCESSES]; // RLIMIT_DATA, and private writable pages
bit alive[PROCESSES], exists[PROCESSES]; // a zombie exists and is not alive
// Shared: the parent's page.
short spare;            // births that may be had without asking; below 0: so many of those under way are spent
bit note[PROCESSES];
byte forking;           // pending of numproc
// The server's.
byte lease, births, copied;
bit over;               // it has seen the parent's end
byte granted[PROCESSES];
byte total;
bit member[PROCESSES], zombie[PROCESSES], ahead[PROCESSES];
// Questions: 0, what is asked, or the answer. The parent's second thread is the last.
byte ask[PROCESSES + 1];
#define COPY 1
#define MORE 2
#define JOIN 3
#define GRANTED 4
#define DENIED 5
#define LATER 6
#define asked(q) (ask[q] == COPY || ask[q] == MORE || ask[q] == JOIN)
// For the laws only.
bit named[PROCESSES];   // some thread is about to write a note for it
byte taken;             // births taken whose fork is not done yet
byte asks;              // of the decision under way: what is asked for
byte peak[PROCESSES], peakComing; // … the most that each had, and that was about to be copied
bit still;              // … and whether nothing was under way, all along

#define larger(a, b) ((a) > (b) -> (a) : (b))
#define may(i) (alive[i] -> larger(limit[i], data[i]) : 0)
#define has(i) (alive[i] -> data[i] : 0)
#define coming (alive[PARENT] -> taken * larger(limit[PARENT], data[PARENT]) : 0)
#define held (peak[0] + peak[1] + peak[2] + peak[3] + peakComing)
// A copy costs what the parent has; and what a parent gets more, its copies under way may get too.
#define needed (asks == COPY -> data[PARENT] : (q == OTHER -> 1 : 1 + taken))
#define quiet (over || (alive[PARENT] && !(taken || named[1] || named[2] || note[1] || note[2])))

inline look() {
#ifdef DENIALS
  if
  :: asks ->
    peak[0] = larger(peak[0], has(0));
    peak[1] = larger(peak[1], has(1));
    peak[2] = larger(peak[2], has(2));
    peak[3] = larger(peak[3], has(3));
    peakComing = larger(peakComing, (alive[PARENT] -> taken * data[PARENT] : 0));
    still = still && quiet
  :: else
  fi;
#endif
  assert(may(0) + may(1) + may(2) + may(3) + coming <= BARRIER);
  assert(may(0) + may(1) + may(2) + coming <= granted[0] + granted[1] + granted[2] && may(3) <= granted[3])
}
#ifdef DENIALS
inline decided() { asks = 0; still = 0; peak[0] = 0; peak[1] = 0; peak[2] = 0; peak[3] = 0; peakComing = 0 }
#else
inline decided() { skip }
#endif

#define clean(c) (!exists[c] && !note[c] && !named[c] && !member[c] && !ahead[c])

inline fork(child) {
  c = child;
  alive[c] = 1; exists[c] = 1;
  limit[c] = limit[PARENT]; data[c] = data[PARENT];
  taken--; named[c] = 1;
  look()
}

proctype Thread(byte t) {
  byte c;
  {
idle:
    do
    // fork: with a birth that was booked ahead, or one that is asked for
    :: atomic { alive[PARENT] && (clean(1) || clean(2)) -> forking++ };
      if
      :: atomic { spare > 0 -> spare--; taken++; look() }
      :: atomic { spare <= 0 -> ask[t] = COPY };
        if
        :: d_step { ask[t] == GRANTED -> ask[t] = 0 }
        :: atomic { ask[t] == DENIED || ask[t] == LATER -> ask[t] = 0; forking--; goto idle }
        fi
      fi;
      if
      :: d_step { clean(1) -> fork(1) }
      :: d_step { clean(2) -> fork(2) }
      :: d_step { spare++; taken--; look() }; forking--; goto idle // the kernel refused
      fi;
      d_step { note[c] = 1; named[c] = 0; look() }
      d_step { forking--; c = 0 }

    // A child is reaped, and its note taken back unless the server was quicker.
    :: d_step { exists[1] && !alive[1] -> exists[1] = 0; look() }
    :: d_step { exists[2] && !alive[2] -> exists[2] = 0; look() }
    :: d_step { note[1] && !exists[1] -> note[1] = 0; spare++; look() }
    :: d_step { note[2] && !exists[2] -> note[2] = 0; spare++; look() }

    :: d_step { data[PARENT] < limit[PARENT] -> data[PARENT]++; look() }
    :: d_step { data[PARENT] > 1 -> data[PARENT]--; look() }
    :: atomic { limit[PARENT] < MOST_LEASE && data[PARENT] == limit[PARENT] -> ask[t] = MORE }
      d_step { ask[t] == GRANTED || ask[t] == DENIED || ask[t] == LATER -> ask[t] = 0 }
    od
  } unless { d_step { !alive[PARENT] -> c = 0 } }
}

// What processes do by themselves, and their ends.
proctype Others() {
end:
  do
  :: d_step { alive[OTHER] && !ask[OTHER] && limit[OTHER] < 3 -> ask[OTHER] = MORE }
  :: d_step { ask[OTHER] >= GRANTED -> ask[OTHER] = 0 }
  :: d_step { alive[1] && !ask[1] -> ask[1] = JOIN }
  :: d_step { alive[2] && !ask[2] -> ask[2] = JOIN }
  :: d_step { alive[1] -> alive[1] = 0; data[1] = 0; limit[1] = 0; ask[1] = 0; look() }
  :: d_step { alive[2] -> alive[2] = 0; data[2] = 0; limit[2] = 0; ask[2] = 0; look() }
#ifndef LIVES
  :: d_step { alive[PARENT] -> alive[PARENT] = 0; exists[PARENT] = 0; data[PARENT] = 0; limit[PARENT] = 0;
      ask[0] = 0; ask[4] = 0; taken = 0; named[1] = 0; named[2] = 0; look() }
  :: d_step { alive[OTHER] -> alive[OTHER] = 0; data[OTHER] = 0; limit[OTHER] = 0; ask[OTHER] = 0; look() }
#endif
  // init reaps orphans
  :: d_step { !alive[PARENT] && exists[1] && !alive[1] -> exists[1] = 0 }
  :: d_step { !alive[PARENT] && exists[2] && !alive[2] -> exists[2] = 0 }
  od
}

#define room (BARRIER - total)
inline put(i, amount) { total = total - granted[i]; granted[i] = amount; total = total + granted[i] }

// How many births are booked and not in the books as members of their own.
#ifdef M_WHOEVER_IS_AHEAD_IS_DEDUCTED
#define living(c) (ahead[c] && member[c] && !zombie[c] -> 1 : 0)
#define booked_births (births > living(1) + living(2) -> births - living(1) - living(2) : 0)
#else
#define booked_births births
#endif

inline settle() {
  if
  :: over
  :: else ->
    copied = (booked_births == 0 -> lease : copied);
    put(PARENT, lease + booked_births * copied)
  fi
}

// No child can begin without asking. What only the server looks at is done in the same step.
inline take_births() {
  d_step {
    n = (spare > 0 -> spare : 0);
#ifndef M_BIRTHS_TAKEN_BUT_LEFT
    spare = spare - n;
#endif
    births = births - n;
    settle();
    n = 0;
    look()
  }
}

// A birth ahead, or none: the server's share may be of any size.
inline offer_births() {
  if
  :: d_step {
      !over && spare >= 0 && spare < MOST_BIRTHS && births < MOST_BIRTHS + 2 && room >= larger(lease, copied) ->
#ifdef M_OFFERED_BEFORE_BOOKED
      spare++;
      n = 1;
      look()
    }
    d_step {
      n = 0;
#endif
      births++;
      copied = larger(lease, copied);
      settle();
      assert(total <= BARRIER);
      look()
    }
#ifndef M_OFFERED_BEFORE_BOOKED
    d_step { spare++; look() }
#endif
  :: true
  fi
}

// It runs under a limit already, a copy of its parent's; while that was set anew, it may have had more.
inline adopt() {
  member[c] = 1;
  zombie[c] = 0;
#ifdef M_ADOPTED_AT_ITS_LIMIT
  w = limit[c];
#else
  w = larger(limit[c], data[c]);
#endif
  put(c, w);
  w = 0
}

// A child nobody told of: if its parent is between the fork and the note, a birth that was booked is spent. What comes back in
// its place, with the note or from it, is none.
inline found() {
  f = forking > 0 && !over;
  if
  :: d_step { exists[c] && !member[c] ->
      adopt();
#ifdef M_WHOEVER_IS_AHEAD_IS_DEDUCTED
      ahead[c] = f;
#endif
      settle();
      look()
    };
#ifndef M_WHOEVER_IS_AHEAD_IS_DEDUCTED
    if
    :: f -> // its parent may have waited for it by now, and its birth be another child's
      d_step { spare--; look() }
      d_step {
        if
#ifdef M_SPENT_FOR_WHO_HAS_GONE
        :: true -> ahead[c] = 1; births--
#else
        :: exists[c] -> ahead[c] = 1; births--
        :: else -> spare++
#endif
        fi;
        settle();
        look()
      }
    :: else
    fi;
#endif
    f = 0
  :: else -> f = 0
  fi
}

inline noted(child) {
  if
  :: d_step { note[child] -> note[child] = 0; c = child;
#ifdef M_WHOEVER_IS_AHEAD_IS_DEDUCTED
      births--; ahead[c] = 0;
#else
      if
      :: ahead[c] -> spare++; ahead[c] = 0
      :: else -> births--
      fi;
#endif
      settle();
      if
      :: exists[c] && !member[c] -> adopt()
      :: else
      fi;
      c = 0;
      look()
    };
    offer_births()
  :: else
  fi
}
inline take_notes() {
  noted(1);
  noted(2)
}

#define out(i) (i == PARENT -> lease : granted[i])

// T1 = read; set; T2 = read; granted = the greater (design §3). Who has died has nothing.
inline lower(i) {
  if
  :: i == PARENT || (member[i] && !zombie[i]) ->
    n = data[i];
    if
    :: n < out(i) ->
      if
      :: d_step { alive[i] -> limit[i] = n; look() }
      :: else
      fi;
#ifndef M_READ_ONCE
      n = larger(n, data[i]);
#endif
      d_step {
        if
        :: alive[i] -> limit[i] = n
        :: else
        fi;
        if
        :: i == PARENT ->
          lease = n;
#ifdef M_COPIED_FORGOTTEN
          copied = n;
#else
          copied = (booked_births == 0 -> n : larger(copied, n));
#endif
          settle()
        :: else -> put(i, n)
        fi;
        n = 0;
        look()
      }
    :: else -> n = 0
    fi
  :: else
  fi
}

inline recall() {
  take_notes();
#ifndef M_BIRTHS_NOT_RECALLED
  if :: !over -> take_births() :: else fi;
#endif
  if :: q != 0 && q != 4 && !over -> lower(PARENT) :: else fi;
  lower(1);
  lower(2);
  // The other uses all it has, unless it has died.
  d_step {
    if
    :: q != OTHER && member[OTHER] && !alive[OTHER] -> put(OTHER, 0)
    :: else
    fi
  }
}

inline reply(what) { atomic { if :: asked(q) -> ask[q] = what :: else fi; decided() } }
inline refuse() {
  atomic {
    if
    :: asked(q) ->
#ifdef DENIALS
      assert(held + needed > BARRIER);
#endif
      ask[q] = DENIED
    :: else
    fi;
    decided()
  }
}

#define to_copy(l) larger(l, (booked_births > 0 -> copied : 0))
#define can_lend(l) (l + (booked_births + 1) * to_copy(l) <= room + granted[PARENT])

// The parent's lease may be `most`, so that one more can copy it. Another thread may pass the new limit while it is set.
inline lend(most) {
  if
  :: !done && most >= m && can_lend(most) ->
    d_step {
      if
      :: alive[PARENT] -> limit[PARENT] = most
      :: else
      fi;
      look()
    }
    n = larger(most, data[PARENT]);
    d_step {
#ifndef M_LENT_UNSEEN
      if
      :: asked(q) && can_lend(n) ->
#else
      if
      :: asked(q) ->
#endif
        copied = to_copy(n);
        births++;
        lease = n;
        limit[PARENT] = n;
        settle();
        taken++;
        ask[q] = GRANTED;
        decided();
        done = 1;
        assert(total <= BARRIER);
        look()
      :: else ->
        if
        :: alive[PARENT] -> limit[PARENT] = lease
        :: else
        fi
      fi;
      n = 0
    }
  :: else
  fi
}
inline copy() {
  m = data[PARENT];
  lend(lease);
  lend(m);
  m = 0
}

// Where the lease is more than what it has by now, the kernel will not refuse it again.
inline more_for_parent() {
  d_step {
    if
    :: asked(q) && !done && lease > data[PARENT] -> ask[q] = GRANTED; decided(); done = 1
    :: asked(q) && !done && lease <= data[PARENT] && room >= 1 + booked_births ->
      lease++;
      limit[PARENT] = lease;
      copied = (booked_births == 0 -> lease : larger(copied, lease));
      settle();
      ask[q] = GRANTED;
      decided();
      done = 1;
      assert(total <= BARRIER);
      look()
    :: else
    fi
  }
}

inline more_for_other() {
  d_step {
    if
    :: asked(q) && !done && room >= 1 ->
      put(OTHER, granted[OTHER] + 1);
      if
      :: alive[OTHER] -> limit[OTHER] = granted[OTHER]; data[OTHER] = limit[OTHER]
      :: else
      fi;
      ask[q] = GRANTED;
      decided();
      done = 1;
      assert(total <= BARRIER);
      look()
    :: else
    fi
  }
}

#ifdef DENIALS
#define decide(k, what) atomic { ask[k] == what -> q = k; asks = what; still = 1; look() }
#else
#define decide(k, what) atomic { ask[k] == what -> q = k }
#endif

proctype Server() {
  byte q, c, n, m, w;
  bit f, done;
idle:
  do
  :: decide(0, COPY) -> goto fork_asked
  :: decide(0, MORE) -> goto parent_asked
#if THREADS > 1
  :: decide(4, COPY) -> goto fork_asked
  :: decide(4, MORE) -> goto parent_asked
#endif
  :: decide(OTHER, MORE) -> goto other_asked
  :: atomic { ask[1] == JOIN -> q = 1; goto joins }
  :: atomic { ask[2] == JOIN -> q = 2; goto joins }
  // The audit: a look at the notes, and at children that nobody told of.
  :: !over && (note[1] || note[2]) -> take_notes()
  :: atomic { !over && exists[1] && !member[1] -> c = 1 }; found(); c = 0
  :: atomic { !over && exists[2] && !member[2] -> c = 2 }; found(); c = 0
  :: d_step { member[1] && !alive[1] && !zombie[1] -> put(1, 0); zombie[1] = 1; settle(); look() }
  :: d_step { member[2] && !alive[2] && !zombie[2] -> put(2, 0); zombie[2] = 1; settle(); look() }
  :: d_step { zombie[1] && !exists[1] -> zombie[1] = 0; member[1] = 0;
#ifdef M_WHOEVER_IS_AHEAD_IS_DEDUCTED
      ahead[1] = 0;
#endif
      settle(); look() }
  :: d_step { zombie[2] && !exists[2] -> zombie[2] = 0; member[2] = 0;
#ifdef M_WHOEVER_IS_AHEAD_IS_DEDUCTED
      ahead[2] = 0;
#endif
      settle(); look() }
  :: d_step { member[OTHER] && !alive[OTHER] -> put(OTHER, 0); member[OTHER] = 0 }
  :: !over && !alive[PARENT] -> goto parent_ended
  :: atomic { over && !member[1] && !member[2] && !member[OTHER] && !exists[1] && !exists[2] -> assert(total == 0); goto done_all }
  od;

fork_asked:
  take_notes();
  take_births();
  copy();
  if
  :: !done -> recall(); copy()
  :: else
  fi;
  if
  :: !done -> refuse()
  :: else -> offer_births()
  fi;
  atomic { done = 0; q = 0; goto idle };

parent_asked:
  take_notes();
  take_births();
  more_for_parent();
  if
  :: !done -> recall(); more_for_parent()
  :: else
  fi;
  if
  :: !done -> refuse()
  :: else
  fi;
  offer_births();
  atomic { done = 0; q = 0; goto idle };

other_asked:
  more_for_other();
  if
  :: !done -> recall(); more_for_other()
  :: else
  fi;
  if
  :: !done && !over && booked_births > 0 -> // on loan to children under way
    atomic {
      if
#ifdef DENIALS
      :: asked(q) -> assert(!still)
#endif
      :: else
      fi
    }
    reply(LATER)
  :: !done && (over || booked_births == 0) -> refuse()
  :: done
  fi;
  atomic { done = 0; q = 0; goto idle };

joins:
  if :: !over -> take_notes() :: else fi;
  if
  :: !member[q] -> c = q; found(); c = 0
  :: else
  fi;
  lower(q); // what it does not use comes back
  reply(GRANTED);
  q = 0;
  goto idle;

parent_ended:
  take_notes();
#ifndef M_LOST_NOT_FOUND
  // Killed while it forked: whoever has the token is looked for.
  if
  :: forking > 0 ->
    over = 1; // what is booked is left until they are found
    if :: !member[1] && exists[1] -> c = 1; found() :: else fi;
    if :: !member[2] && exists[2] -> c = 2; found() :: else fi;
    c = 0
  :: else
  fi;
#endif
  d_step { over = 1; births = 0; lease = 0; copied = 0; spare = 0; forking = 0; ahead[1] = 0; ahead[2] = 0;
    put(PARENT, 0); look() }
  goto idle;

done_all:
  skip
}

init {
  atomic {
    alive[PARENT] = 1; exists[PARENT] = 1; limit[PARENT] = 1; data[PARENT] = 1;
    alive[OTHER] = 1; limit[OTHER] = 1; data[OTHER] = 1; member[OTHER] = 1;
    lease = 1; copied = 1;
    granted[PARENT] = 1; granted[OTHER] = 1; total = 2;
    run Thread(0);
#if THREADS > 1
    run Thread(4);
#endif
    run Others();
    run Server()
  }
}
