// Package platforms checks the pages in docs/platforms. Each page has the same parts, and each
// fenced block, also of README.md, is parsed by its language:
//
//	yaml     every document strictly. A RegistryConfig by Berth's own loader; a kind of Kubernetes
//	         by its Go type; the kinds of schemas_test.go by their CRD; values of Berth's chart by
//	         its schema
//	json     strictly, by the same rules
//	toml     strictly; a config of containerd and a hosts.toml as containerd reads them
//	hcl      by HashiCorp's parser
//	sh       bash -n, and each command of berth must have that verb and those flags
//	ini      as systemd reads a unit
//	mime     each part by its type, as cloud-init and nodeadm split user data
//	text     output, after the command that prints it
//
// A block of another language, or of none, is an error. A text in a block that is a file itself,
// such as a script in user data, is checked in the same way. A file that is not known by its kind
// has its name in a comment in its first line.
//
// Start at check_test.go.
package platforms
