// Package agent turns a RegistryConfig into the state of a node.
//
// [Desired] is the pure part: which directories certs.d shall have, with which
// hosts and logins. Writing them is the business of package hostsconf.
package agent
