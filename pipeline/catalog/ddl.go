package catalog

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Engines for which DDL is written.
var Engines = []string{"athena", "spark", "duckdb"}

// partitionsAtOnce is how many partitions one statement of Athena adds.
const partitionsAtOnce = 100

// DDL writes statements that make tables known to an engine; run twice they
// change nothing. A table with conflicts is an error, and nothing is written
// for it.
func DDL(w io.Writer, tables []*Table, engine string) error {
	out := bufio.NewWriter(w)
	var conflicts []string
	for _, t := range tables {
		if len(t.Conflicts) > 0 {
			conflicts = append(conflicts, "table "+t.Name+": "+strings.Join(t.Conflicts, "; "))
			continue
		}
		switch engine {
		case "athena":
			athena(out, t)
		case "spark":
			spark(out, t)
		case "duckdb":
			duckdb(out, t)
		default:
			return fmt.Errorf("no DDL for %q: %w", engine, pipeline.ErrUnsupported)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing DDL: %w", err)
	}
	if len(conflicts) > 0 {
		return fmt.Errorf("%s: %w; give one of the streams another name with as, or cast the column", strings.Join(conflicts, "; "), pipeline.ErrSchema)
	}
	return nil
}

// name quotes a name for Athena's DDL and Spark.
func name(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// literal quotes a text for Athena's DDL and Spark.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", " ", "\r", " ").Replace(s) + "'"
}

// columns writes the columns in parentheses, and those behind them.
func columns(w *bufio.Writer, t *Table, behind []string) {
	fmt.Fprint(w, "(")
	n := 0
	for _, c := range t.Columns {
		if n++; n > 1 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, "\n  %s %s", name(c.Name), c.Type.Hive())
		if c.Comment != "" {
			fmt.Fprintf(w, " COMMENT %s", literal(c.Comment))
		}
	}
	for _, k := range behind {
		if n++; n > 1 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, "\n  %s string", name(k))
	}
	fmt.Fprint(w, "\n)\n")
}

func athena(w *bufio.Writer, t *Table) {
	fmt.Fprintf(w, "CREATE EXTERNAL TABLE IF NOT EXISTS %s ", name(t.Name))
	columns(w, t, nil)
	if len(t.Keys) > 0 {
		var keys []string
		for _, k := range t.Keys {
			keys = append(keys, name(k)+" string")
		}
		fmt.Fprintf(w, "PARTITIONED BY (%s)\n", strings.Join(keys, ", "))
	}
	fmt.Fprintf(w, "STORED AS PARQUET\nLOCATION %s;\n", literal(t.Location+"/"))
	for i, p := range t.Partitions {
		if i%partitionsAtOnce == 0 {
			fmt.Fprintf(w, "ALTER TABLE %s ADD IF NOT EXISTS", name(t.Name))
		}
		var values []string
		for j, k := range t.Keys {
			values = append(values, name(k)+" = "+literal(p[j]))
		}
		fmt.Fprintf(w, "\n  PARTITION (%s)", strings.Join(values, ", "))
		if i%partitionsAtOnce == partitionsAtOnce-1 || i == len(t.Partitions)-1 {
			fmt.Fprint(w, ";\n")
		}
	}
	fmt.Fprintln(w)
}

func spark(w *bufio.Writer, t *Table) {
	fmt.Fprintf(w, "CREATE TABLE IF NOT EXISTS %s ", name(t.Name))
	columns(w, t, t.Keys)
	fmt.Fprint(w, "USING PARQUET\n")
	var keys []string
	for _, k := range t.Keys {
		keys = append(keys, name(k))
	}
	if len(keys) > 0 {
		fmt.Fprintf(w, "PARTITIONED BY (%s)\n", strings.Join(keys, ", "))
	}
	fmt.Fprintf(w, "LOCATION %s;\n", literal(t.Location))
	if len(keys) > 0 {
		fmt.Fprintf(w, "MSCK REPAIR TABLE %s;\n", name(t.Name))
	}
	fmt.Fprintln(w)
}

// duckdb writes a view over the files, which finds new partitions by itself.
func duckdb(w *bufio.Writer, t *Table) {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	fmt.Fprintf(w, "CREATE OR REPLACE VIEW \"%s\" AS SELECT * FROM read_parquet(%s, union_by_name = true, hive_partitioning = %t",
		strings.ReplaceAll(t.Name, `"`, `""`), quoted(t.Location+"/**/*.parquet"), len(t.Keys) > 0)
	if len(t.Keys) > 0 {
		var types []string
		for _, k := range t.Keys {
			types = append(types, quoted(k)+": VARCHAR")
		}
		fmt.Fprintf(w, ", hive_types = {%s}", strings.Join(types, ", "))
	}
	fmt.Fprint(w, ");\n")
}
