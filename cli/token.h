/*
 * cli/token.h: what a token says about its own end. Nothing is verified:
 * this only saves a request that would be refused.
 */

#ifndef CLI_TOKEN_H
#define CLI_TOKEN_H


/*
 * Does token, where it is a JWT whose exp can be read, end within seconds
 * from now? 0 for any other text: the server will tell.
 */
int token_ends_within(const char *token, int seconds);


#endif /* CLI_TOKEN_H */
