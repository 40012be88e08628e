package helper

import "fmt"

// Class is why a helper gave no login. It is also the reason in the status and in metrics.
type Class string

// The classes.
const (
	NotFound      Class = "helper_not_found"      // the program
	Refused       Class = "helper_refused"        // another user can change the program
	CannotStart   Class = "helper_cannot_start"   //
	Timeout       Class = "helper_timeout"        //
	Interrupted   Class = "helper_interrupted"    // by the end of this process
	ExitCode      Class = "helper_exit_code"      // other than 0
	NoLogin       Class = "helper_no_login"       // it says so
	TooLarge      Class = "helper_too_large"      //
	Empty         Class = "helper_empty"          // no output, or no user name, or no secret
	NotJSON       Class = "helper_not_json"       //
	OtherHost     Class = "helper_other_host"     // than the one that was asked for
	IdentityToken Class = "helper_identity_token" // the user name is <token>
	Unusable      Class = "helper_unusable"       // a Basic header cannot carry it
	Expired       Class = "helper_expired"        // by its own claim exp
)

// Error is why a helper gave no login. It has nothing that the helper printed.
type Error struct {
	Program string
	Class   Class
	Exit    int    // for ExitCode; -1 if a signal ended it
	Detail  string // for NotFound and Refused
}

// Error names the program, the fault and the remedy.
func (e *Error) Error() string {
	return "credential helper " + e.Program + ": " + e.fault()
}

func (e *Error) fault() string {
	const byHand = "run it by hand to see why"
	switch e.Class {
	case NotFound:
		return e.Detail + "; install it, or write its absolute path"
	case Refused:
		return "not started: " + e.Detail
	case CannotStart:
		return "it cannot be started; it must be a program for this machine, or a script with its interpreter"
	case Timeout:
		return fmt.Sprintf("it did not answer within %s; %s", limit, byHand)
	case Interrupted:
		return "it was interrupted"
	case ExitCode:
		if e.Exit < 0 {
			return "it was ended by a signal; " + byHand
		}
		return fmt.Sprintf("exit code %d; %s", e.Exit, byHand)
	case NoLogin:
		return "it has no login for this registry; log in with the program that it belongs to"
	case TooLarge:
		return fmt.Sprintf("it printed more than %d bytes", maxOutput)
	case Empty:
		return "its answer has no user name or no secret"
	case NotJSON:
		return "its answer is no JSON object of a credential helper"
	case OtherHost:
		return "its answer is for another host, and is not used"
	case IdentityToken:
		return "it gives an identity token (user name <token>), which a header cannot carry; " +
			"use a login with a user name and a password or access token"
	case Expired:
		return "it gives a token that has expired; is the clock right?"
	}
	return "its answer has characters that a login over HTTP cannot carry"
}
