// Package identity answers who is asking: it turns the credential of an HTTP
// request into a toolcall.Caller, or refuses with the challenge that HTTP wants.
//
// There is no anonymous caller. A request is one of three things:
//
//	Authorization header      accepted by          otherwise
//	absent                    trust_loopback       401 without an error code
//	one, "Bearer TOKEN"       a static token, or   401 invalid_token
//	                          the local token
//	anything else             nobody               400 invalid_request, or 401
//
// A header that is present decides alone: when its token is bad, the request is
// refused, and neither the local user nor anybody else takes its place. Headers
// in which others vouch for a user (X-Forwarded-User and the like) are not read.
//
// Static tokens are 256 random bits that rest as SHA-256 digests. The local
// token is a file that only its owner can read.
package identity
