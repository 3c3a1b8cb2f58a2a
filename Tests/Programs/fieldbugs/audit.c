// The least that LD_AUDIT takes.
unsigned la_version(unsigned version) { return version; }
