// Package observe counts what a run does: requests to stores and their price,
// rows, bytes and seconds of each node, and writes them as metrics, traces and
// queued logs. Nothing here sends or listens unless it was asked to.
package observe
