/*
 * agent/conf_cri.c: the keys about pods: which container runtime the node
 * has, and where it keeps what it knows of them.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "place.h"


static int conf_cri_runtime(conf_t *conf, char *err);
static int conf_cri_folder(char **folder, const char *key, const char *dflt,
    char *err);


static const char *const  conf_cri_names[] = {
    "off", "containerd", "cri-o", NULL
};

/* containerd: state + runtime v2's name + the namespace of CRI (defaults.go,
 * core/runtime/v2); CRI-O: containers-storage's run root. */

static const char *const  conf_cri_folders[] = {
    NULL,
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
    "/run/containers/storage/overlay-containers"
};


int
conf_cri(conf_t *conf, char *err)
{
    if (conf_cri_runtime(conf, err) != 0) {
        return -1;
    }

    if (conf->cri == CONF_CRI_OFF) {
        if (conf->cri_state_folder || conf->cri_netns_folder) {
            snprintf(err, CONF_ERR_LEN, "%s: cri_runtime (containerd or "
                     "cri-o) is needed, too", conf->cri_state_folder
                     ? "cri_state_folder" : "cri_netns_folder");
            return -1;
        }

        return 0;
    }

    if (conf_cri_folder(&conf->cri_state_folder, "cri_state_folder",
                        conf_cri_folders[conf->cri], err)
        != 0)
    {
        return -1;
    }

    return conf_cri_folder(&conf->cri_netns_folder, "cri_netns_folder",
                           CONF_NETNS_FOLDER, err);
}


static int
conf_cri_runtime(conf_t *conf, char *err)
{
    unsigned  i;

    for (i = 0; conf_cri_names[i]; i++) {
        if (strcmp(conf_cri_names[i], conf->cri_runtime) == 0) {
            conf->cri = (conf_cri_t) i;
            return 0;
        }
    }

    snprintf(err, CONF_ERR_LEN, "cri_runtime: must be off, containerd or "
             "cri-o");

    return -1;
}


static int
conf_cri_folder(char **folder, const char *key, const char *dflt, char *err)
{
    if (*folder == NULL) {
        *folder = strdup(dflt);
    }

    if (*folder == NULL) {
        snprintf(err, CONF_ERR_LEN, "%s: out of memory", key);
        return -1;
    }

    if ((*folder)[0] != '/' || strlen(*folder) > PLACE_MAX_PATTERN) {
        snprintf(err, CONF_ERR_LEN, "%s: must be an absolute path of at most "
                 "%d bytes", key, PLACE_MAX_PATTERN);
        return -1;
    }

    return 0;
}


const char *
conf_cri_name(conf_cri_t cri)
{
    return conf_cri_names[cri];
}


int
conf_enters(const conf_t *conf)
{
    return conf->containers == CONF_CONTAINERS_NETNS
           || conf->cri != CONF_CRI_OFF;
}
