"""Ridge regression with a free bias, by its normal equations, in float64 and plain loops."""


def weights_and_bias(x, y, penalty):
    """Return the weights and bias for ``x`` ``[n][d]`` and ``y`` ``[n]`` at which the whole gradient is zero."""
    rows = [[*map(float, row), 1.0] for row in x]
    d = len(rows[0])
    matrix = [
        [sum(row[i] * row[j] for row in rows) + (penalty if i == j < d - 1 else 0.0) for j in range(d)]
        for i in range(d)
    ]
    right = [sum(row[i] * float(target) for row, target in zip(rows, y, strict=True)) for i in range(d)]
    solution = solve(matrix, right)
    return solution[:-1], solution[-1]


def solve(matrix, right):
    """Solve the linear system by Gaussian elimination with pivoting."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, n):
            share = rows[k][i] / rows[i][i]
            rows[k] = [a - share * b for a, b in zip(rows[k], rows[i], strict=True)]
    solution = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * solution[j] for j in range(i + 1, n))
        solution[i] = (rows[i][n] - known) / rows[i][i]
    return solution
