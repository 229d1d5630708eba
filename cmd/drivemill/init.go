package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline"
)

// recipes are pipelines to begin with; the SQL beside one queries its lake.
//
//go:embed recipes
var recipes embed.FS

func recipeNames() []string {
	entries, err := recipes.ReadDir("recipes")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

func initCommand() command {
	return command{
		name: "init", args: "[DIR]", summary: "write a pipeline to begin with",
		help: "Write a commented pipeline, and SQL for its lake, into DIR, or print the pipeline. Recipes: " + strings.Join(recipeNames(), ", ") +
			". Files that are there already are not replaced.",
		examples: "drivemill init --recipe drive-stats --input 's3://archive/data_*.zip' --lake s3://fleet-lake .",
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			recipe := fs.String("recipe", "", "name of the recipe")
			input := fs.String("input", "data/*.zip", "where the recordings are")
			lake := fs.String("lake", "lake", "where the lake will be")
			return func(_ context.Context, env *environment, args []string) error {
				if len(args) > 1 {
					return usagef("init: takes one directory, has %q", args)
				}
				known := false
				for _, n := range recipeNames() {
					known = known || n == *recipe
				}
				if !known {
					hint := ""
					if n := pipeline.Nearest(*recipe, recipeNames()); n != "" {
						hint = fmt.Sprintf(" (did you mean %s?)", n)
					}
					return usagef("init: --recipe %q is none of %s%s", *recipe, strings.Join(recipeNames(), ", "), hint)
				}
				for _, uri := range []string{*input, *lake} {
					if strings.ContainsAny(uri, "\"'\\\n") {
						return usagef("init: %q has quotes, backslashes or line ends, which the recipe cannot hold", uri)
					}
				}
				fill := strings.NewReplacer("@INPUT@", *input, "@LAKE@", strings.TrimSuffix(*lake, "/"))
				if len(args) == 0 {
					text, err := recipes.ReadFile("recipes/" + *recipe + ".yaml")
					if err != nil {
						return err
					}
					_, err = fill.WriteString(env.stdout, string(text))
					return err
				}
				return writeRecipe(env.stdout, args[0], *recipe, fill)
			}
		},
	}
}

// writeRecipe writes the files of a recipe, or none of them where one is there.
func writeRecipe(out io.Writer, dir, recipe string, fill *strings.Replacer) error {
	files := map[string]string{recipe + ".yaml": recipe + ".yaml", recipe + ".sql": "views.sql"}
	for _, name := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("init: %s is there already, or cannot be looked at", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	for _, from := range []string{recipe + ".yaml", recipe + ".sql"} {
		text, err := recipes.ReadFile("recipes/" + from)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, files[from])
		if err := os.WriteFile(to, []byte(fill.Replace(string(text))), 0o644); err != nil {
			return fmt.Errorf("init: %w", err)
		}
		fmt.Fprintln(out, to)
	}
	return nil
}
