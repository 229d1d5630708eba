// Command audit looks at what the binary is made of: the licence of every
// module that is linked into it must be one of those allowed, and govulncheck
// must know no vulnerability in what it calls. When the database of
// vulnerabilities cannot be reached, that is said, and is no failure.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// allowed are the licences whose terms are met by the notices that go with the
// binary.
var allowed = []string{"Apache-2.0", "MIT", "BSD-3-Clause", "BSD-2-Clause", "ISC", "Unlicense"}

// licences tells texts apart by phrases of theirs, the first that has all.
var licences = []struct {
	name    string
	phrases []string
}{
	{"AGPL", []string{"gnu affero general public license"}},
	{"GPL", []string{"gnu general public license"}},
	{"LGPL", []string{"gnu lesser general public license"}},
	{"MPL-2.0", []string{"mozilla public license"}},
	{"EPL", []string{"eclipse public license"}},
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "names of its contributors"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "without restriction"}},
}

// identify names the licence of a text; empty when none is known.
func identify(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, l := range licences {
		if !slices.ContainsFunc(l.phrases, func(p string) bool { return !strings.Contains(text, p) }) {
			return l.name
		}
	}
	return ""
}

func main() {
	vuln := flag.String("govulncheck", "", "path of govulncheck; empty leaves vulnerabilities out")
	flag.Parse()
	bad, err := checkLicences()
	if err == nil && *vuln != "" {
		err = checkVulnerabilities(*vuln)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
	if bad > 0 {
		fmt.Fprintf(os.Stderr, "audit: %d modules have licences that are not allowed (allowed are %s)\n", bad, strings.Join(allowed, ", "))
		os.Exit(1)
	}
}

// checkLicences lists the modules in the binary with their licences, and counts
// those that are not allowed.
func checkLicences() (bad int, err error) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/drivemill").Output()
	if err != nil {
		return 0, fmt.Errorf("listing modules: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			continue
		}
		files, err := filepath.Glob(filepath.Join(f[2], "*[LlCc][IiOo][CcPp][EeYy][NnIi]*"))
		if err != nil {
			return 0, err
		}
		var found []string
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // a folder of licences
			}
			if name := identify(string(text)); name != "" {
				found = append(found, name)
			}
		}
		slices.Sort(found)
		found = slices.Compact(found)
		verdict := ""
		if len(found) == 0 || slices.ContainsFunc(found, func(l string) bool { return !slices.Contains(allowed, l) }) {
			verdict = "  NOT ALLOWED"
			bad++
		}
		fmt.Printf("%-55s %-14s %s%s\n", f[0], f[1], strings.Join(found, ", "), verdict)
	}
	return bad, nil
}

// unreachable are parts of what govulncheck says when it cannot get its database.
var unreachable = []string{"no such host", "dial tcp", "connection refused", "i/o timeout", "TLS handshake", "proxyconnect", "HTTP GET", "server misbehaving"}

func checkVulnerabilities(tool string) error {
	cmd := exec.Command(tool, "./cmd/drivemill")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	text := out.String()
	switch {
	case err == nil:
		fmt.Print(text)
		return nil
	case slices.ContainsFunc(unreachable, func(s string) bool { return strings.Contains(text, s) }) && !strings.Contains(text, "Vulnerability #"):
		fmt.Printf("VULNERABILITIES WERE NOT CHECKED: the database cannot be reached:\n%s", text)
		return nil
	}
	return fmt.Errorf("govulncheck: %w\n%s", err, text)
}
