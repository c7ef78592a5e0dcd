/* The same from plain C: the table of functions that fastbp.h gives. */
#include "fastbp.h"

static const fastbp_api *fastbp;

/* sgd(w, dw, learning_rate): w -= learning_rate * dw, for writable and readable buffers of doubles. */
static PyObject *sgd(PyObject *module, PyObject *arguments)
{
    Py_buffer w, dw;
    double learning_rate;
    int status;
    if (!PyArg_ParseTuple(arguments, "w*y*d", &w, &dw, &learning_rate)) return NULL;
    Py_ssize_t n = (w.len < dw.len ? w.len : dw.len) / (Py_ssize_t)sizeof(double);
    Py_BEGIN_ALLOW_THREADS
    status = fastbp->f64->sgd_update(w.buf, dw.buf, NULL, n, learning_rate, 0, 0, 0, 0);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&w);
    PyBuffer_Release(&dw);
    return PyLong_FromLong(status);
}

static PyMethodDef methods[] = {{"sgd", sgd, METH_VARARGS, "sgd(w, dw, learning_rate)"}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "table", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_table(void)
{
    fastbp = fastbp_import();
    return fastbp == NULL ? NULL : PyModule_Create(&definition);
}
