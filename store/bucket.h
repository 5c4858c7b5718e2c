/*
 * store/bucket.h: a look at the bucket when the store starts, in a process of
 * its own that only logs: is it there, is it public, is it encrypted; and the
 * rule that deletes what we do not. Nothing waits for it, and nothing depends
 * on what it finds.
 */

#ifndef STORE_BUCKET_H
#define STORE_BUCKET_H

struct store_s;


/* Begins it, if S3 is configured. */
void bucket_begin(struct store_s *s);

/* For the loop: children have ended. */
void bucket_reap(struct store_s *s);

/* Ends it, done or not. */
void bucket_close(struct store_s *s);


#endif /* STORE_BUCKET_H */
