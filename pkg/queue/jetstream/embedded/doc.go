// Package embedded runs a NATS JetStream server inside the process, as the
// store of package jetstream. It is the only package that links nats-server.
//
// # Guarantees
//
//   - With SyncAlways a confirmed message is synced to disk: it survives kill -9
//     and a power cut, on a local file system that keeps its own promises (ext4,
//     xfs). Not on NFS.
//   - One process at a time uses a directory; a second one is refused and told
//     who holds it.
//   - The streams never take more than MaxStoreBytes, and in a new store never
//     more than 80 % of what the volume can give: unless other data takes the
//     space, a full disk is not met. If it does, what is queued can still be read.
//   - Nothing listens on the network unless it is configured to.
//
// # The way to the server
//
// InProcessConn is an in-memory pipe. Loopback TCP (Listen, and ClientURL as the
// URL of package jetstream) is slower. Measured by BenchmarkPublish of package
// jetstream with messages of 800 KiB, nats-server 2.15.2, 2 shared cores of an
// AMD EPYC, client and server together; ranges over runs:
//
//	                     pipe                         TCP
//	sync, 1 in flight    245-301 MB/s, 2.1-2.7 ms CPU 134-256 MB/s, 2.4-2.8 ms CPU
//	sync, 8 in flight    199-294 MB/s, 2.1-2.2 ms CPU 121-145 MB/s, 2.5-2.8 ms CPU
//	no sync, 8 in flight 702-727 MB/s, 1.1 ms CPU     353-362 MB/s, 2.1-2.2 ms CPU
//
// nats-server takes no other kind of connection from inside (a socket pair would
// have to be copied into such a pipe), so there is no further choice.
package embedded
