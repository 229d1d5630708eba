// Package explore looks into recordings without a pipeline: Inspect says what
// is in one, Cat prints its rows.
package explore
