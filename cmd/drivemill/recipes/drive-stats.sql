-- Tables of the lake that drive-stats.yaml makes.
--
-- DuckDB runs all of this file. In Athena, tables of the same names come from a
-- crawler over the directories of the lake; then run what follows the line.
-- survival_class, survival_model and drive_stats_removed have no rows, and no
-- files, in a small lake: add them when they are there.

CREATE OR REPLACE VIEW drive_stats AS SELECT * FROM read_parquet('@LAKE@/drive_stats/*/*.parquet', hive_partitioning = true);
CREATE OR REPLACE VIEW drive_days AS SELECT * FROM read_parquet('@LAKE@/drive_days/*/*.parquet', hive_partitioning = true);
CREATE OR REPLACE VIEW drive_lives AS SELECT * FROM read_parquet('@LAKE@/drive_lives/*.parquet');
CREATE OR REPLACE VIEW fleet_flow_quarter AS SELECT * FROM read_parquet('@LAKE@/fleet_flow_quarter/*.parquet');
CREATE OR REPLACE VIEW afr_model_quarter AS SELECT * FROM read_parquet('@LAKE@/afr_model_quarter/*.parquet');
CREATE OR REPLACE VIEW afr_model_lifetime AS SELECT * FROM read_parquet('@LAKE@/afr_model_lifetime/*.parquet');
CREATE OR REPLACE VIEW afr_fleet_quarter AS SELECT * FROM read_parquet('@LAKE@/afr_fleet_quarter/*.parquet');

-- ---------------------------------------------------------------------------

-- The size of a product: the one that most drive days report.
CREATE OR REPLACE VIEW drive_sizes AS
SELECT model_norm, capacity_bytes
FROM (
  SELECT model_norm, capacity_bytes, row_number() OVER (PARTITION BY model_norm ORDER BY sum(drive_days) DESC, capacity_bytes) AS place
  FROM drive_days
  WHERE capacity_bytes IS NOT NULL
  GROUP BY model_norm, capacity_bytes
) AS sizes
WHERE place = 1;

-- The quarterly table, with the columns of the published reports.
CREATE OR REPLACE VIEW quarterly_report AS
SELECT r.period AS quarter, r.maker AS mfg, r.model_norm AS model, round(s.capacity_bytes / 1e12, 1) AS drive_size_tb,
       r.drive_count, round(r.average_age_months, 1) AS avg_age_months, r.drive_days, r.failures AS drive_failures,
       round(r.afr, 2) AS afr_percent, round(r.afr_low, 2) AS confidence_low, round(r.afr_high, 2) AS confidence_high, r.provisional
FROM afr_model_quarter AS r
LEFT JOIN drive_sizes AS s ON s.model_norm = r.model_norm
WHERE r.excluded IS NULL;

-- The lifetime table.
CREATE OR REPLACE VIEW lifetime_report AS
SELECT r.maker AS mfg, r.model_norm AS model, round(s.capacity_bytes / 1e12, 1) AS drive_size_tb,
       r.drive_count, round(r.average_age_months, 1) AS avg_age_months, r.drive_days, r.failures AS drive_failures,
       round(r.afr, 2) AS afr_percent, round(r.afr_low, 2) AS confidence_low, round(r.afr_high, 2) AS confidence_high
FROM afr_model_lifetime AS r
LEFT JOIN drive_sizes AS s ON s.model_norm = r.model_norm
WHERE r.excluded IS NULL;

-- What the quarterly table leaves out, and why.
CREATE OR REPLACE VIEW quarterly_excluded AS
SELECT period AS quarter, excluded_model AS model, excluded AS reason, drive_count, drive_days, failures
FROM afr_fleet_quarter
WHERE excluded IS NOT NULL;

-- The fleet's flow.
CREATE OR REPLACE VIEW fleet_report AS
SELECT period AS quarter, sum(drives_start) AS drives_start, sum(installed) AS installed, sum(returned) AS returned,
       sum(failed) AS failed, sum(removed) AS removed, sum(drives_end) AS drives_end
FROM fleet_flow_quarter
GROUP BY period;
