// Package fleet makes synthetic fleets of hard drives, and the daily files in
// which a collector of drive statistics would have written them: models of
// several makers that grow, age, fail, are swapped and retired. Everything
// follows from the seed, on every machine.
//
// A fleet is either drawn (each drive fails by the curve of its model) or told
// exactly what to be: Facts give the drives at the end, the failures and the
// drive days of a model, and schedules are arranged until they hold. PublishedQ3
// is such a fleet. Files have the header of their day: all twelve layouts that
// there have been since 2013.
//
//	f, err := fleet.New(fleet.Config{Seed: 1, From: fleet.Date(2022, 10, 1), To: fleet.Date(2022, 10, 31), Models: fleet.Catalog(88_000)})
//	err = f.WriteDay(w, f.From, fleet.Layout{})
package fleet
