// Package tenant bounds what each tenant may send, and says which tenant a
// request is of.
//
//	identity, header ──▶ Of ──▶ *Tenant ──▶ Enter ──▶ pass ──▶ Spend(items, bytes)
//	                             limits      before the body     after the check
//
// # Guarantees
//
//   - A tenant that spends more than its rates is refused before its body is
//     read, with the wait after which it will be taken.
//   - What a tenant has in flight is bounded by itself, so that one cannot hold
//     the memory that all share.
//   - A header is believed only from an identity that may speak for that tenant.
//   - Limits change live; what was spent stays spent.
//   - Memory and the labels of metrics are bounded, however many names arrive.
package tenant
