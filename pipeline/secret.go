package pipeline

import "regexp"

var secret = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^/?#\s]*@` + // user information of a URI
	`|[?&]X-Amz-(Signature|Credential|Security-Token)=` + // a presigned request
	`|(secret_?access_?key|session_?token)["']?\s*[=:]` + // what a credentials file or an answer of STS holds
	`|\b(?-i:AKIA|ASIA)(?-i:[A-Z0-9]{16})\b` + // the id of an access key
	`|-----BEGIN [A-Z ]*PRIVATE KEY-----`)

// HoldsSecret reports whether a text holds credentials in one of their usual
// forms: user information in a URI, a presigned request, the assignment of a
// secret key, the id of an access key, a private key. Pipelines, overrides and
// URIs that do are refused, because they go into manifests, lineage and logs.
func HoldsSecret(s string) bool { return len(s) > 3 && secret.MatchString(s) }

// Redact returns s for use in a message: asterisks in place of a text that
// holds a secret.
func Redact(s string) string {
	if HoldsSecret(s) {
		return "***"
	}
	return s
}
