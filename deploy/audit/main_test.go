package main

import "testing"

func TestIdentify(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n Version 2.0, January 2004":                                                           "Apache-2.0",
		"Permission is hereby granted, free of charge, to any person ... without\nrestriction, including":      "MIT",
		"Redistribution and use in source and binary forms, with or without ... Neither the name of Google":    "BSD-3-Clause",
		"Redistribution and use in source and binary forms, with or without":                                   "BSD-2-Clause",
		"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee": "ISC",
		"GNU GENERAL PUBLIC LICENSE Version 3 ... Apache License Version 2.0 is compatible":                    "GPL",
		"Mozilla Public License Version 2.0":                                                                   "MPL-2.0",
		"All rights reserved.":                                                                                 "",
	} {
		if got := identify(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
