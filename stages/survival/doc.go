// Package survival has the stages that follow each drive through its life, and
// estimate survival by age.
//
// # drive_lives
//
//	stages:
//	  lives: {use: drive_lives, from: drives}
//
// gives one row for each drive, which is a model_norm and a serial number, in
// that order. Its rows must come in the order of days, once a day, as those of
// a lake sorted within months do; the drives themselves may come in any order.
// Hours in service are those of SMART 9, believed from 0 to 20 years; where the
// first day has none, they are reckoned back from the first day that has. A
// failure that is followed by more rows does not end a life, unless
// failure_policy is first.
//
// # survival
//
//	stages:
//	  curves: {use: survival, from: lives, by: [drive_class], min_at_risk: 100}
//
// gives Kaplan-Meier curves over hours in service with left truncation: a drive
// seen from age a to the end of its last day at age b is at risk at ages t with
// a < t <= b. Curves begin where min_at_risk drives are at risk first, because
// few drives at early ages would decide about all later ones; survival is that
// of drives alive at this age. The variance is Greenwood's, intervals are taken
// on the scale of log(-log(survival)), the cumulative hazard is Nelson's and
// Aalen's. Drives that never told their hours are filtered.
//
// # fleet_flow
//
//	stages:
//	  flow: {use: fleet_flow, from: drives, by: [drive_class], period: quarter}
//
// counts, for each period, the drives that were installed, that failed, that
// were removed without a failure, and that returned. A drive is gone when it
// misses a day on which others were seen; days without any data are no days.
// Every row holds drives_start + installed + returned - failed - removed =
// drives_end, and drives_end is the number of drives on the last day of the
// period that has data, which is drives_start of the next.
package survival
