/// Bounds from files: OpenVZ container configurations and TOML.
public enum Configuration {}
