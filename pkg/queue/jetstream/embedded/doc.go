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
//   - The store never takes more than MaxStoreBytes, and these never more than
//     80 % of what the volume can give: a full disk is not met.
//   - Nothing listens on the network unless it is configured to.
package embedded
