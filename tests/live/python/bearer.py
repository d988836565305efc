"""libpq 18 (the one that psycopg brings along) logs in by OAUTHBEARER: it asks the server where tokens come from, and
comes again with the token that a program's own hook gives it."""

import ctypes
import glob
import json
import os
import sys
import sysconfig

FOLDER = os.path.join(sysconfig.get_paths()["purelib"], "psycopg_binary.libs")
# What it rests on is found beside it.
LIBRARY = ctypes.CDLL(glob.glob(os.path.join(FOLDER, "libpq-*.so*"))[0])
BEARER_TOKEN = 1


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("asynchronous", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
LIBRARY.PQconnectdb.restype = ctypes.c_void_p
LIBRARY.PQconnectdb.argtypes = [ctypes.c_char_p]
LIBRARY.PQerrorMessage.restype = ctypes.c_char_p
LIBRARY.PQerrorMessage.argtypes = [ctypes.c_void_p]
LIBRARY.PQstatus.argtypes = [ctypes.c_void_p]
LIBRARY.PQexec.restype = ctypes.c_void_p
LIBRARY.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
LIBRARY.PQgetvalue.restype = ctypes.c_char_p
LIBRARY.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]


def main():
    token = ctypes.c_char_p(os.environ["TOKEN"].encode())
    asked = []

    @HOOK
    def hook(kind, _connection, request):
        if kind != BEARER_TOKEN:
            return 0
        asked.append([request.contents.openid_configuration.decode(), (request.contents.scope or b"").decode()])
        request.contents.token = token
        return 1

    LIBRARY.PQsetAuthDataHook(hook)
    connection = LIBRARY.PQconnectdb(os.environ["CONNINFO"].encode())
    said = {"version": LIBRARY.PQlibVersion(), "asked": asked, "error": LIBRARY.PQerrorMessage(connection).decode()}
    if LIBRARY.PQstatus(connection) == 0:
        result = LIBRARY.PQexec(connection, b"select 'in'")
        said["row"] = LIBRARY.PQgetvalue(result, 0, 0).decode()
    json.dump(said, sys.stdout)


main()
