// Package store keeps objects by key: in a directory, in S3 or in memory. All
// three are a [pipeline.Store] and pass the same suite (pipetest.Store), so
// that nothing above them knows where a lake lies.
//
// # URIs
//
//	s3://bucket/prefix    S3 or what speaks its protocol
//	file:///data/lake     a directory
//	/data/lake, lake      a directory, absolute or relative
//	mem://name            a store of this process, for tests
//
// The text after the scheme is taken as it is; nothing is percent-decoded. S3
// is configured by the usual environment and files of the AWS SDK. With an
// endpoint of one's own (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 or the config
// file) buckets are addressed by path and the region defaults to us-east-1.
// What is written carries a CRC32, which the server checks, unless
// AWS_REQUEST_CHECKSUM_CALCULATION is when_required.
//
// # Protection
//
// Requests go over TLS. An endpoint of http:// is taken only where it is of this
// machine (loopback), or with DRIVEMILL_S3_ALLOW_HTTP=true: what is read and
// written, and signatures, can then be seen and replayed by anyone on the way.
// With DRIVEMILL_S3_KMS_KEY (the ARN of a key or of its alias, a key's id, or
// aws/s3 for the key that AWS keeps for the account) every object is written
// with SSE-KMS under that key, data and state alike, and with the bucket key,
// which saves requests to KMS. Without it the bucket's own default holds.
// URIs that hold credentials are refused, and are not repeated in messages.
//
// # Keys
//
// Keys are slash separated. Empty, "." and ".." segments, backslashes, control
// characters and the reserved area _drivemill/tmp/ are refused by every store
// when writing; objects of others whose keys hold backslashes or control
// characters are read. Lists are in
// bytewise order of the whole key, as S3 has it: "a-b" comes before "a/b", and
// "a.b" too. Keys that end in a slash, by which S3 consoles mark directories,
// are not listed.
//
// # Directories
//
// An object is written to _drivemill/tmp/ under the root of its store, synced
// and renamed, or linked where it must not exist yet, so that no reader ever
// sees half of one; what a killed process left there, [Uploads] lists. The
// whole store must lie on one file system that has hard links. Writing and
// deleting never follow a symbolic link out of the root; reading and listing
// do follow links, because people keep recordings on other disks. Deleting the
// last object of a directory removes the directory, because S3 has none. The
// ETag of a file is its size and its modification time in ns: a file that is
// overwritten in place, at the same size and within one tick of the file
// system's clock, is not noticed.
//
// # Memory
//
// No object is ever held whole, except by the memory store and by Get and Put,
// which are for small objects and refuse to read more than 64 MiB.
//
//	                        directory   S3
//	List                    names of one directory per level    one page of 1,000 keys
//	Source.ReadAt           nothing     nothing: ranges are read into the caller's slice
//	Source.Reader           nothing     at most 9 x 8 MiB, less for short spans
//	ObjectWriter            64 KiB      what was written up to 8 MiB, then two parts
//
// Parts of an upload have 8 MiB up to the first 8 GB and double after every
// 1,000 parts, so that the largest object S3 allows fits into 10,000 parts.
package store
