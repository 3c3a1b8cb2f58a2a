// Which descriptors are surely their process's alone (Shim/owned.h): two threads of a process that open, close, dup,
// close_range and fork at the same time, and the child, which goes on holding what it inherited until it ends.
// Law: there are never more open descriptions than charges. What is closed while not surely alone stays charged.
#define FDS 3
#define NONE 0

byte word[FDS];         // the generation in which the descriptor was made, or NONE: it may be shared
byte generation = 1;
byte forking;          // forks under way: what is made meanwhile is nobody's alone
byte at[FDS];           // the description it stands for + 1
byte parents[FDS];      // descriptors of the process for each description
bit child[FDS];         // whether the child has it
bit forked;
bit known[FDS];         // a program closes and dups what it was told of, and not while another thread closes it

byte charged;

#define open(d) (parents[d] > 0 || child[d])
inline law() { assert(open(0) + open(1) + open(2) <= charged) }

inline lowest_free() {
  if
  :: !at[0] -> fd = 0
  :: at[0] && !at[1] -> fd = 1
  :: at[0] && at[1] && !at[2] -> fd = 2
  fi
}

inline close_one(f) {
  d_step {
    if
    :: at[f] -> parents[at[f] - 1]--; at[f] = 0
    :: else
    fi
  }
}

// Closed: the charge comes back unless a fork came between.
inline give(f) {
#ifdef M_GIVE_WITHOUT_LOOKING
  skip;
#else
  if :: was != generation -> was = 0 :: else fi;
#endif
  d_step { if :: was -> charged-- :: else fi; was = 0; law() }
}

proctype Thread() {
  byte fd, from, was, g, left = 3;
end:
  do
  // open
  :: atomic { left && (!at[0] || !at[1] || !at[2]) && (!open(0) || !open(1) || !open(2)) && charged < 4 ->
       left--; charged++ };
#ifndef M_GENERATION_READ_AFTER
     g = generation;
#ifndef M_MADE_DURING_FORK
     if :: forking -> g = NONE :: else fi;
#endif
#endif
     if
     :: d_step { (!at[0] || !at[1] || !at[2]) && (!open(0) || !open(1) || !open(2)) ->
          lowest_free();
          if
          :: !open(0) -> at[fd] = 1
          :: open(0) && !open(1) -> at[fd] = 2
          :: open(0) && open(1) && !open(2) -> at[fd] = 3
          fi;
          parents[at[fd] - 1] = 1;
          law()
        };
#ifdef M_GENERATION_READ_AFTER
        g = generation;
#endif
        d_step { word[fd] = g; known[fd] = 1; g = 0; fd = 0 }
     :: d_step { charged--; g = 0; law() } // the kernel refused
     fi

  // close
  :: atomic { left && known[0] -> fd = 0; goto close }
  :: atomic { left && known[1] -> fd = 1; goto close }
  :: atomic { left && known[2] -> fd = 2;
close:
       left--; known[fd] = 0 };
     d_step { was = (word[fd] == generation -> word[fd] : 0); word[fd] = 0 }
     close_one(fd);
     give(fd);
     fd = 0

  // dup
  :: atomic { left && known[0] -> from = 0; known[0] = 0; goto dup }
  :: atomic { left && known[1] -> from = 1; known[1] = 0;
dup:
       left-- };
     if
     :: d_step { !at[0] || !at[1] || !at[2] ->
          lowest_free();
          at[fd] = at[from];
          parents[at[fd] - 1]++;
          law()
        };
        word[from] = NONE;
        d_step { word[fd] = NONE; known[fd] = 1; known[from] = 1; fd = 0; from = 0 }
     :: d_step { at[0] && at[1] && at[2] -> known[from] = 1; from = 0 } // the kernel refused
     fi

  // close_range over the first descriptor
  :: atomic { left && known[0] -> left--; known[0] = 0 };
#ifdef M_CLOSE_RANGE_FIRST
     close_one(0);
     d_step { was = (word[0] == generation -> word[0] : 0); word[0] = 0 }
#else
     d_step { was = (word[0] == generation -> word[0] : 0); word[0] = 0 }
     close_one(0);
#endif
     give(0)

  // fork: from here on, every descriptor is one of two processes
  :: atomic { left && !forked -> left--; forked = 1 };
     forking++;
     generation++;
     d_step {
       child[0] = parents[0] > 0;
       child[1] = parents[1] > 0;
       child[2] = parents[2] > 0
     };
     forking--
  od
}

proctype Child() {
end:
  atomic { child[0] || child[1] || child[2] -> skip };
  d_step { child[0] = 0; child[1] = 0; child[2] = 0; law() }
}

init { atomic { run Thread(); run Thread(); run Child() } }
