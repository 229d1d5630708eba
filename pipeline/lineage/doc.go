// Package lineage says where the rows of a lake come from. It defines the
// ledger, which counts rows at every step of a unit and must balance; the
// commit record, which ties the files of a unit to its inputs; the OpenLineage
// events of a run; and the walk from a file back to what it was made of.
package lineage
