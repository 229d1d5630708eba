package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

// stack is the CloudFormation template with its intrinsic functions resolved:
// parameters by their values, conditions as true.
type stack struct {
	Resources map[string]struct {
		Type       string
		Properties struct {
			Policies []struct {
				PolicyDocument struct{ Statement []statement }
			}
			RetryStrategy struct {
				EvaluateOnExit []struct{ OnExitCode, OnReason, OnStatusReason, Action string }
			}
			ContainerProperties struct {
				User                   string
				ReadonlyRootFilesystem bool
			}
		}
	}
}

type statement struct {
	Sid       string
	Effect    string
	Action    oneOrMore
	Resource  oneOrMore
	Condition struct{ StringLike map[string]string }
}

type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// readStack reads the template with these parameters.
func readStack(t *testing.T, parameters map[string]string) stack {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repoRoot(t), "deploy/batch/template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for k, v := range parameters {
		pairs = append(pairs, "${"+k+"}", v)
	}
	replace := strings.NewReplacer(pairs...)
	var value func(n *yaml.Node) any
	value = func(n *yaml.Node) any {
		switch n.Tag {
		case "!Ref":
			if n.Value == "AWS::NoValue" {
				return nil
			}
			if v, ok := parameters[n.Value]; ok {
				return v
			}
			return n.Value
		case "!Sub":
			return replace.Replace(n.Value)
		case "!If":
			return value(n.Content[1])
		}
		switch n.Kind {
		case yaml.MappingNode:
			out := make(map[string]any)
			for i := 0; i < len(n.Content); i += 2 {
				out[n.Content[i].Value] = value(n.Content[i+1])
			}
			return out
		case yaml.SequenceNode:
			out := []any{}
			for _, c := range n.Content {
				out = append(out, value(c))
			}
			return out
		}
		var v any
		if n.Tag == "" || strings.HasPrefix(n.Tag, "!!") {
			if n.Decode(&v) == nil {
				return v
			}
		}
		return n.Value
	}
	resolved, err := json.Marshal(map[string]any{"Resources": resourcesOf(value(doc.Content[0]))})
	if err != nil {
		t.Fatal(err)
	}
	var s stack
	if err := json.Unmarshal(resolved, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// resourcesOf keeps the kinds of resource that the tests look at.
func resourcesOf(template any) map[string]any {
	out := make(map[string]any)
	all, _ := template.(map[string]any)["Resources"].(map[string]any)
	for name, r := range all {
		if kind := r.(map[string]any)["Type"]; kind == "AWS::IAM::Role" || kind == "AWS::Batch::JobDefinition" {
			out[name] = r
		}
	}
	return out
}

func stackParameters(bucket string) map[string]string {
	return map[string]string{
		"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "111122223333",
		"RawBucket": bucket, "RawPrefix": "raw/", "LakeBucket": bucket, "LakePrefix": "lake/", "ConfigBucket": bucket, "ConfigPrefix": "config/",
		"RawKmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/raw", "LakeKmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/lake",
		"GlueDatabase": "fleet", "SplunkTokenSecretArn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:splunk",
	}
}

// No policy says more than it must: no action is a pattern, no resource is
// everything, and recordings are never written.
func TestStackPolicies(t *testing.T) {
	s := readStack(t, stackParameters("bucket"))
	roles := 0
	for name, r := range s.Resources {
		for _, p := range r.Properties.Policies {
			roles++
			for _, st := range p.PolicyDocument.Statement {
				if st.Effect != "Allow" || len(st.Action) == 0 || len(st.Resource) == 0 {
					t.Errorf("%s %s: effect %q, actions %q, resources %q", name, st.Sid, st.Effect, st.Action, st.Resource)
				}
				for _, a := range st.Action {
					if strings.ContainsAny(a, "*?") || !strings.Contains(a, ":") {
						t.Errorf("%s %s: action %q", name, st.Sid, a)
					}
					for _, res := range st.Resource {
						if !strings.HasPrefix(res, "arn:aws:") || strings.HasSuffix(res, ":::*") || strings.HasPrefix(res, "arn:aws:s3:::bucket/*") || strings.Contains(res, "${") {
							t.Errorf("%s %s: resource %q", name, st.Sid, res)
						}
						if strings.HasPrefix(res, "arn:aws:s3:::bucket/raw/") && a != "s3:GetObject" {
							t.Errorf("%s %s: %s of recordings", name, st.Sid, a)
						}
						if a == "s3:DeleteObject" && name == "PlanRole" {
							t.Errorf("plan may delete %s", res)
						}
						if strings.Contains(res, "/raw") && name == "FinishRole" {
							t.Errorf("finish may use %s", res)
						}
					}
					if a == "s3:ListBucket" && st.Condition.StringLike["s3:prefix"] == "" {
						t.Errorf("%s %s: lists a whole bucket", name, st.Sid)
					}
				}
			}
		}
	}
	if roles != 4 {
		t.Errorf("%d policies were found, want those of 4 roles", roles)
	}
}

// What Batch does with an end of a job is what its exit code means.
func TestStackRetries(t *testing.T) {
	s := readStack(t, stackParameters("bucket"))
	jobs := 0
	for name, r := range s.Resources {
		if r.Type != "AWS::Batch::JobDefinition" {
			continue
		}
		jobs++
		if c := r.Properties.ContainerProperties; c.User != "65532" || !c.ReadonlyRootFilesystem {
			t.Errorf("%s: user %q, read-only root %v", name, c.User, c.ReadonlyRootFilesystem)
		}
		rules := r.Properties.RetryStrategy.EvaluateOnExit
		if len(rules) == 0 || len(rules) > 5 {
			t.Errorf("%s: %d conditions, Batch takes 1 to 5", name, len(rules))
		}
		for _, c := range []struct{ code, reason, status, want string }{
			{"1", "", "Essential container in task exited", "EXIT"},
			{"2", "", "Essential container in task exited", "EXIT"},
			{"3", "", "Essential container in task exited", "EXIT"},
			{"75", "", "Essential container in task exited", "RETRY"},
			{"143", "", "Essential container in task exited", "RETRY"},
			{"137", "OutOfMemoryError: Container killed due to memory usage", "Essential container in task exited", "EXIT"},
			{"", "", "Host EC2 (instance i-0123) terminated.", "RETRY"},
			{"", "CannotPullContainerError: timeout", "Task failed to start", "RETRY"},
		} {
			got := "RETRY" // what Batch does when no condition fits
			for _, rule := range rules {
				fits := func(pattern, text string) bool {
					ok, _ := path.Match(pattern, text)
					return pattern == "" || pattern == "*" || ok
				}
				if fits(rule.OnExitCode, c.code) && fits(rule.OnReason, c.reason) && fits(rule.OnStatusReason, strings.ReplaceAll(c.status, "/", "")) {
					got = rule.Action
					break
				}
			}
			if got != c.want {
				t.Errorf("%s: exit %q, reason %q, status %q: %s, want %s", name, c.code, c.reason, c.status, got, c.want)
			}
		}
	}
	if jobs != 4 {
		t.Errorf("%d job definitions, want 4", jobs)
	}
}

// requested tells which permission a request to S3 needs.
func requested(r *http.Request) (action, resource, prefix string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	resource = "arn:aws:s3:::" + bucket + "/" + key
	switch {
	case key == "" && q.Has("uploads"):
		return "s3:ListBucketMultipartUploads", "arn:aws:s3:::" + bucket, ""
	case key == "":
		return "s3:ListBucket", "arn:aws:s3:::" + bucket, q.Get("prefix")
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return "s3:GetObject", resource, ""
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "s3:AbortMultipartUpload", resource, ""
	case r.Method == http.MethodDelete:
		return "s3:DeleteObject", resource, ""
	}
	return "s3:PutObject", resource, ""
}

// star matches a text against a pattern as IAM does.
func star(pattern, text string) bool {
	head, ok := strings.CutSuffix(pattern, "*")
	return ok && strings.HasPrefix(text, head) || pattern == text
}

// Each step of a run, on a real server, asks for nothing that its role does not
// allow: also after a shard was killed, and when a run replaces another.
func TestStackRolesSuffice(t *testing.T) {
	p := s3server.StartProxy(t, s3server.Start(t))
	s := readStack(t, stackParameters(p.Bucket))
	root := "s3://" + p.Bucket
	st := openStore(t, root)
	put := func(key, file string) {
		data, err := os.ReadFile(filepath.Join(repoRoot(t), file))
		if err == nil {
			err = st.Put(t.Context(), key, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("config/drives.yaml", "testdata/pipelines/drives.yaml")
	put("config/stations.csv", "testdata/weather/stations.csv")
	found, _ := filepath.Glob(filepath.Join(repoRoot(t), "testdata/drives/*/*/roof.*"))
	for _, f := range found {
		rel, _ := filepath.Rel(repoRoot(t), f)
		put("raw/"+strings.TrimPrefix(filepath.ToSlash(rel), "testdata/drives/"), rel)
	}
	p.Requests()
	allowed := func(role string) {
		t.Helper()
		var statements []statement
		for _, policy := range s.Resources[role].Properties.Policies {
			statements = append(statements, policy.PolicyDocument.Statement...)
		}
		seen := 0
		for _, r := range p.Requests() {
			seen++
			action, resource, prefix := requested(r)
			if !slices.ContainsFunc(statements, func(st statement) bool {
				return slices.Contains(st.Action, action) && slices.ContainsFunc(st.Resource, func(pattern string) bool { return star(pattern, resource) }) &&
					(st.Condition.StringLike == nil || star(st.Condition.StringLike["s3:prefix"], prefix))
			}) {
				t.Errorf("%s has no %s of %s (prefix %q), which %s %s needs", role, action, resource, prefix, r.Method, r.URL)
			}
		}
		if seen == 0 {
			t.Errorf("%s: no request was seen", role)
		}
	}
	run := func(name string, set ...string) {
		args := []string{"plan", root + "/config/drives.yaml", "--run-id", name, "--shards", "2", "--output-file", root + "/config/plans/" + name + ".json",
			"--set", "outputs.lake.uri=" + root + "/lake", "--set", "inputs.drives.uri=" + root + "/raw/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}",
			"--set", "stages.sited.table=" + root + "/config/stations.csv"}
		printed := mustRun(t, nil, append(args, set...)...).stdout
		allowed("PlanRole")
		data, err := st.Get(t.Context(), "config/plans/"+name+".json")
		if err != nil || string(data) != printed {
			t.Fatalf("the result of plan is %q, %v; it printed %q", data, err, printed)
		}
		p.Requests()
		var planned planned
		if err := json.Unmarshal(data, &planned); err != nil || planned.Shards != 2 {
			t.Fatalf("%s: %v", data, err)
		}
		shard(planned, 0, "DRIVEMILL_FAILPOINT=publish:between=kill").run(t)
		for i := range 2 {
			args := []string{"run", "--manifest", planned.Manifest, "--progress", "none"}
			mustRun(t, []string{"AWS_BATCH_JOB_ARRAY_INDEX=" + fmt.Sprint(i)}, args...)
		}
		allowed("ShardRole")
		mustRun(t, nil, "finish", "--manifest", planned.Manifest)
		allowed("FinishRole")
	}
	run("first")
	run("second", "--set", "stages.moving.where=twist.twist.linear.x > 1")
}
