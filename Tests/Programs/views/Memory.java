/** What a JVM takes for the memory of its machine, and the heap that it gives itself of that: bytes. */
class Memory {
  public static void main(String[] words) {
    var system = (com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();
    System.out.println("all " + system.getTotalMemorySize());
    System.out.println("heap " + Runtime.getRuntime().maxMemory());
  }
}
