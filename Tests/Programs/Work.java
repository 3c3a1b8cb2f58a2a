import java.io.*;
import java.net.*;
import java.util.*;
import java.util.concurrent.CountDownLatch;

/** One mode a run: work (nothing refused), files, threads, heap. */
public class Work {
  static int shown(String directory) {
    String[] names = new File(directory).list();
    return names == null ? -1 : names.length;
  }

  public static void main(String[] arguments) throws Exception {
    switch (arguments[0]) {
      case "work" -> {
        var kept = new ArrayList<byte[]>();
        for (int i = 0; i < 40; i++) kept.add(new byte[1 << 20]);
        var files = new ArrayList<InputStream>();
        for (int i = 0; i < 20; i++) files.add(new FileInputStream("/dev/zero"));
        int sum = 0;
        for (var f : files) { sum += f.read(new byte[10]); f.close(); }
        var threads = new ArrayList<Thread>();
        for (int i = 0; i < 8; i++) { var t = new Thread(() -> { }); t.start(); threads.add(t); }
        for (var t : threads) t.join();
        var p = new ProcessBuilder("sh", "-c", "echo child; exit 5").start();
        String said = new String(p.getInputStream().readAllBytes()).trim();
        try (var server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
            var client = new Socket(server.getInetAddress(), server.getLocalPort()); var peer = server.accept()) {
          client.getOutputStream().write(42);
          System.out.println("work " + kept.size() + " " + sum + " " + said + " " + p.waitFor() + " " + peer.getInputStream().read());
        }
      }
      case "files" -> {
        new FileInputStream("/dev/null").close();  // classes loaded before the files run out
        System.out.println("shown " + (shown("/proc/self/fd") > 0));
        var files = new ArrayList<InputStream>();
        int refused = 0;
        String message = "";
        for (int i = 0; i < 300; i++)
          try { files.add(new FileInputStream("/dev/null")); } catch (FileNotFoundException e) { refused++; message = e.getMessage(); }
        files.remove(files.size() - 1).close();
        // Threads of the JVM's own are refused files too: the socket that one of them asks with is there for a moment.
        int listed = Integer.MAX_VALUE;
        for (int i = 0; i < 5; i++) listed = Math.min(listed, shown("/proc/self/fd"));
        System.out.println("listed " + (listed - 3));
        System.out.println("message " + message);
        System.out.println("refused " + refused);
      }
      case "threads" -> {
        var go = new CountDownLatch(1);
        int started = 0;
        shown("/proc/self/task");
        String message = "";
        for (int i = 0; i < 300; i++)
          try {
            new Thread(() -> { try { go.await(); } catch (InterruptedException e) { } }).start();
            started++;
          } catch (OutOfMemoryError e) { message = e.getMessage(); break; }
        System.out.println("tasks " + shown("/proc/self/task"));
        go.countDown();
        System.out.println("message " + message);
      }
      case "heap" -> {
        var kept = new ArrayList<byte[]>();
        try { for (;;) kept.add(new byte[1 << 20]); } catch (OutOfMemoryError e) {
          kept = null;
          System.out.println("OutOfMemoryError " + e.getMessage());
        }
      }
    }
  }
}
