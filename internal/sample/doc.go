// Package sample makes OTLP requests that look like those of a real shop, for
// load, demonstrations and tests.
//
// # Guarantees
//
//   - The bytes are a valid Export*ServiceRequest of opentelemetry-proto 1.11,
//     as long as the official encoder writes it.
//   - They are a function of seed, shape, the calls made and the times given:
//     the same again gives the same bytes.
//   - Every span and log record, and with Shape.PointIDs every metric point,
//     carries an identity made of source and sequence. It can be read back from
//     the bytes with ItemIDs, so a sink can prove the arrival of each item.
//   - Spans come to about 440 bytes, log records to 300, metric points to 105,
//     in requests of 100, 512 and 1000.
//
// No object is built for an item: encoded templates are copied, and ids, times
// and numbers of fixed width are patched in place.
package sample
