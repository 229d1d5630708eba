// Package explore looks into recordings without a pipeline: Inspect says what
// is in one and what is wrong with it, Cat prints its rows, Extract writes the
// files attached to it.
package explore
