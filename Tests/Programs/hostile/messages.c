// Messages that no shim would send, each on a connection of its own:  messages SERVER TOKEN SEED COUNT [questions]
// Valid questions with some of their fields replaced, cut short or made longer; control messages likewise; bytes from
// nowhere; descriptors attached. With `questions`, no control messages: whoever the server runs as may change every bound.
// TOKEN `-` guesses one for each message. A process of a few hundred messages ends and
// another takes over: what they joined with is to be given back. Prints: messages N answered N hung N
// Exit 1 when the server left somebody waiting who was to have an answer or a hang-up.
#include "hostile.h"

enum { EACH = 500, PATIENCE_MS = 20000 };
static bool controls = true;
static struct { _Atomic long sent, answered, hung; } *seen;

static const int64_t amounts[] = {
    0, 1, -1, 2, 64, 4095, 4096, 4097, INT32_MAX, INT32_MIN, UINT32_MAX, (int64_t)1 << 39, ((int64_t)1 << 40) - 1, (int64_t)1 << 40,
    (int64_t)1 << 47, (int64_t)1 << 52, (int64_t)1 << 60, ((int64_t)1 << 60) + 1, INT64_MAX, INT64_MAX - 1, INT64_MAX - 4095, INT64_MIN,
    INT64_MIN + 1, INT64_MIN / 2,
};
static const char *texts[] = {
    "", "open64", "/dev/null", "/proc/self/fd/0", "/", "..", "user_beancounters", "bc/resources", "meminfo", "bc/1/vmaux", "bc//",
    "/dev/tty", "/dev/ptmx", "/proc/kmsg", "/bin/busybox", "\xff\xfe\xfd", "\xcc\x81)(", "\r\n", "\"}]}", "\x1b[2J", "%n%s", "nosuch", "/nosuch/x",
};

static int64_t amount(uint64_t *s) {
  switch (draw(s) % 4) {
    case 0: return (int64_t)draw(s);
    case 1: return (int64_t)(draw(s) % 256);
    default: return amounts[draw(s) % (sizeof amounts / sizeof *amounts)];
  }
}

static void text(uint64_t *s, char *to, size_t size) {
  if (draw(s) % 3 == 0) {
    for (size_t i = 0; i < size; i++) to[i] = (char)draw(s);
  } else {
    const char *one = texts[draw(s) % (sizeof texts / sizeof *texts)];
    memcpy(to, one, strlen(one) < size ? strlen(one) + 1 : size);
  }
}

static int32_t process(uint64_t *s) {
  const int32_t some[] = {0, 1, -1, 2, getpid(), getppid(), INT32_MAX, INT32_MIN, (int32_t)(draw(s) % 65536)};
  return some[draw(s) % (sizeof some / sizeof *some)];
}

static size_t question(uint64_t *s, char *room, const uint64_t token[2]) {
  struct bc_request r = {
      .magic = BC_WIRE_MAGIC, .kind = (uint16_t)(1 + draw(s) % 12), .resource = (uint8_t)(draw(s) % 27), .token = {token[0], token[1]},
      .severity = (uint8_t)(draw(s) % 3), .amount = 1, .thread = getpid(), .parent = getppid(), .socket = (int32_t)(draw(s) % 16),
  };
  for (uint64_t n = draw(s) % 5; n > 0; n--)
    switch (draw(s) % 14) {
      case 0: r.kind = (uint16_t)draw(s); break;
      case 1: r.resource = (uint8_t)draw(s); break;
      case 2: r.severity = (uint8_t)draw(s); break;
      case 3: r.amount = amount(s); break;
      case 4: r.want = amount(s); break;
      case 5: r.thread = process(s); break;
      case 6: r.child = process(s); break;
      case 7: r.flags = (uint16_t)draw(s); break;
      case 8: r.birth = (uint16_t)(draw(s) % 4); break;
      case 9: r.parent = process(s); break;
      case 10: text(s, r.call, sizeof r.call); break;
      case 11: r.socket = process(s); break;
      case 12: text(s, r.detail, sizeof r.detail); break;
      default: r.amount = r.want = amount(s);
    }
  if (draw(s) % 64 == 0) r.token[draw(s) % 2] ^= draw(s);
  if (draw(s) % 64 == 0) r.magic ^= (uint32_t)1 << draw(s) % 32;
  memcpy(room, &r, sizeof r);
  if (draw(s) % 8 == 0)
    for (uint64_t n = draw(s) % 8; n > 0; n--) room[draw(s) % sizeof r] = (char)draw(s);
  return draw(s) % 16 ? sizeof r : draw(s) % (2 * sizeof r);
}

static const char *words[] = {
    "list", "show", "set", "create", "remove", "enter", "membership", "denials", "holders", "mark", "diff", "events", "events-follow",
    "user_beancounters", "report", "ending", "", "1", "victim", "victim", "no", "numfile=1", "numfile=9223372036854775807", "privvmpages=1:2",
    "physpages=-1", "numproc=99999999999999999999", "parent=victim", "id=0", "id=99999999", "id=-9223372036854775808", "fail=numfile%1e309:1",
    "errno=openvz", "of-one-run", "meminfo", "nan", "inf", "-1e400", "2147483648", "json", "text", "kv", "verbose", "\xff\xff", "\r\n", "\xcc\x81",
};

// Of the control protocol. It names no beancounter that the test looks at but `victim`, for who may ask may also set.
static size_t control(uint64_t *s, char *room) {
  size_t n = (size_t)sprintf(room, "bcctl/%d", draw(s) % 32 ? 1 : 2);
  for (uint64_t count = 1 + draw(s) % 7; count > 0; count--) {
    room[n++] = 0;
    if (draw(s) % 16 == 0) {
      for (uint64_t k = draw(s) % 300; k > 0; k--) room[n++] = (char)draw(s);
    } else {
      const char *word = words[draw(s) % (sizeof words / sizeof *words)];
      n += (size_t)sprintf(room + n, "%s", word);
    }
  }
  return n;
}

static void attach(struct msghdr *message, char *room, uint64_t *s) {
  int fds[4], n = (int)(1 + draw(s) % 4);
  for (int i = 0; i < n; i++) fds[i] = (int)(draw(s) % 3);
  message->msg_control = room;
  message->msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
  struct cmsghdr *c = CMSG_FIRSTHDR(message);
  *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n);
}

static void send_one(uint64_t *s, const char *server, const char *hex) {
  static char room[1 << 18], answer[1 << 17];
  _Alignas(struct cmsghdr) char rights[CMSG_SPACE(sizeof(int) * 4)];
  uint64_t token[2] = {draw(s), draw(s)};
  if (*hex != '-') read_token(hex, token);
  uint64_t kind = draw(s) % 32;
  size_t size = kind < 24 ? question(s, room, token) : kind < 31 && controls && geteuid() == 0 ? control(s, room) : draw(s) % (draw(s) % 8 ? 512 : sizeof room);
  if (kind == 31) for (size_t i = 0; i < size; i += 8) { uint64_t word = draw(s); memcpy(room + i, &word, 8); }
  struct iovec part = {room, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (draw(s) % 64 == 0) attach(&message, rights, s);
  int fd = connected(server);
  bool sent = sendmsg(fd, &message, MSG_NOSIGNAL) >= 0;
  seen->sent++;
  if (sent && size > 0 && draw(s) % 4) { // others do not wait for what comes
    bool follows = size > 20 && memmem(room, size, "events-follow", 13);
    ssize_t came = answer_of(fd, answer, sizeof answer, follows ? 10 : PATIENCE_MS);
    if (came == 1) seen->answered++;
    if (came == -2 && !follows) seen->hung++;
  }
  close(fd);
}

int main(int argc, char **argv) {
  if (argc < 5) return fprintf(stderr, "messages SERVER TOKEN|- SEED COUNT [questions]\n"), 2;
  controls = argc == 5;
  seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  uint64_t state = strtoull(argv[3], NULL, 10);
  long count = atol(argv[4]);
  signal(SIGPIPE, SIG_IGN);
  for (long done = 0; done < count; done += EACH) {
    uint64_t own = draw(&state);
    pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
      for (long i = 0; i < EACH && done + i < count; i++) send_one(&own, argv[1], argv[2]);
      _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    // It may have had its own memory bounded to nothing: that is what it asked for.
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) return 2;
  }
  printf("messages %ld answered %ld hung %ld\n", seen->sent, seen->answered, seen->hung);
  return seen->hung != 0;
}
