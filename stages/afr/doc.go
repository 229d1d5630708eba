// Package afr has the stages that count a fleet's drive days, and compute
// annualised failure rates of them.
//
// # drive_days
//
//	stages:
//	  known: {use: drive_models, from: drives}
//	  cube: {use: drive_days, from: known}
//
// gives a cube: whole numbers by day, model, class, capacity, place and age in
// years. It takes deduplicated rows, or cubes, which it adds up; a cube of
// months is that of their rows exactly. A row without a date (no_date), or
// whose failure is not 0 or 1 (bad_failure), is rejected. Hours in service are
// believed from 0 to 20 years of 365 days.
//
// # afr
//
//	stages:
//	  rates: {use: afr, from: cube, by: [model_norm], period: quarter, preset: "2025Q"}
//
// gives, for each period and each combination of the columns in by, drive days,
// failures, and failures per hundred drive years of 365 days with its exact
// interval (Garwood). drive_count is the drives on the last day of the period
// that has data, of whatever drive; drive_count_start that of the first;
// average_age_months is over the drives of the last day, a month being 730.5
// hours. A rate without drive days is null.
//
// Thresholds apply to each model_norm in each period. What they, the classes and
// exclude_models leave out is in rows of its own, by model, whose column excluded
// tells the reason; rows with and without one add up to all drive days. Presets
// are the rules that Backblaze's reports have named:
//
//	2016      at least 45 drives at the end of the period
//	2022      at least 60 drives at the end
//	2025Q     more than 100 drives at the start and more than 10,000 drive days
//	lifetime  more than 500 drives at the end and more than 100,000 drive days
//
// all of them of drives of class data_hdd, unless classes says otherwise.
//
// failure_policy says what counts when a drive failed more than once: every
// failure as_published, its first or its last. Those that do not count are in
// failures_ignored. A period that reaches into the newest quarter of the data is
// provisional: drives that failed may come back before the next report.
//
// against names one value of the only column in by; each rate is then compared
// with that of this value in the same period, as an exact interval of the ratio
// conditional on the sum of failures.
package afr
