// What the programs of this folder call: the shim's part, played by a library of its own.
#ifndef PROBE_H
#define PROBE_H
#ifdef __cplusplus
extern "C" {
#endif
int probe(void); // sends a witness over descriptor PROBE_FD (default 3) and waits for the answer
#ifdef __cplusplus
}
#endif
#endif
