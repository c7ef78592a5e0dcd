# The kernels for other Cython modules. docs/embedding.md says what they do; the prototypes never change: what is new gets a
# new name, and tests/test_embedding.py holds the list.
#
#     from fastbp.kernels cimport fastbp_dense_forward_f32

cdef int fastbp_dense_forward_f32(const float* X, Py_ssize_t ldx, const float* W, const float* b, int activation, float* z,
                                  float* a, Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out,
                                  int n_threads) noexcept nogil
cdef int fastbp_dense_backward_f32(const float* X, Py_ssize_t ldx, const float* W, const float* z, const float* a,
                                   const float* da, int activation, float* dX, float* dW, float* db, Py_ssize_t n_samples,
                                   Py_ssize_t n_in, Py_ssize_t n_out, int n_threads) noexcept nogil
cdef int fastbp_sgd_update_f32(float* w, const float* dw, float* velocity, Py_ssize_t n, double learning_rate,
                               double momentum, int nesterov, double weight_decay, double l2) noexcept nogil
cdef int fastbp_adam_update_f32(float* w, const float* dw, float* m, float* v, Py_ssize_t n, long long t,
                                double learning_rate, double beta1, double beta2, double eps, double weight_decay,
                                double l2) noexcept nogil
cdef int fastbp_step_f32(void* network, const float* X, Py_ssize_t ldx, const long long* labels, const float* y,
                         Py_ssize_t n_samples, double learning_rate, int n_threads, double* loss) noexcept nogil
cdef int fastbp_predict_f32(void* network, const float* X, Py_ssize_t ldx, float* raw, Py_ssize_t n_samples,
                            int n_threads) noexcept nogil

cdef int fastbp_dense_forward_f64(const double* X, Py_ssize_t ldx, const double* W, const double* b, int activation,
                                  double* z, double* a, Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out,
                                  int n_threads) noexcept nogil
cdef int fastbp_dense_backward_f64(const double* X, Py_ssize_t ldx, const double* W, const double* z, const double* a,
                                   const double* da, int activation, double* dX, double* dW, double* db,
                                   Py_ssize_t n_samples, Py_ssize_t n_in, Py_ssize_t n_out, int n_threads) noexcept nogil
cdef int fastbp_sgd_update_f64(double* w, const double* dw, double* velocity, Py_ssize_t n, double learning_rate,
                               double momentum, int nesterov, double weight_decay, double l2) noexcept nogil
cdef int fastbp_adam_update_f64(double* w, const double* dw, double* m, double* v, Py_ssize_t n, long long t,
                                double learning_rate, double beta1, double beta2, double eps, double weight_decay,
                                double l2) noexcept nogil
cdef int fastbp_step_f64(void* network, const double* X, Py_ssize_t ldx, const long long* labels, const double* y,
                         Py_ssize_t n_samples, double learning_rate, int n_threads, double* loss) noexcept nogil
cdef int fastbp_predict_f64(void* network, const double* X, Py_ssize_t ldx, double* raw, Py_ssize_t n_samples,
                            int n_threads) noexcept nogil
