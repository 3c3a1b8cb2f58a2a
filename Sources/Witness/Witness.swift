/// From a stack slice to functions and lines.
public enum Witness {}
