//go:build amd64 && !purego

#include "textflag.h"

// RotWord of the last word, into all four words.
DATA rotate<>+0(SB)/8, $0x0c0f0e0d0c0f0e0d
DATA rotate<>+8(SB)/8, $0x0c0f0e0d0c0f0e0d
GLOBL rotate<>(SB), RODATA|NOPTR, $16

// The first round constant, in every word.
DATA rcon<>+0(SB)/8, $0x0000000100000001
DATA rcon<>+8(SB)/8, $0x0000000100000001
GLOBL rcon<>(SB), RODATA|NOPTR, $16

// The ninth: 2·80 in GF(2^8).
DATA rcon9<>+0(SB)/8, $0x0000001b0000001b
DATA rcon9<>+8(SB)/8, $0x0000001b0000001b
GLOBL rcon9<>(SB), RODATA|NOPTR, $16

// func hasInstructions() bool
TEXT ·hasInstructions(SB), NOSPLIT, $0-1
	MOVL $1, AX
	XORL CX, CX
	CPUID
	ANDL $(1<<25 | 1<<19 | 1<<9), CX // AES, SSE4.1, SSSE3
	CMPL CX, $(1<<25 | 1<<19 | 1<<9)
	SETEQ ret+0(FP)
	RET

// PREFIX xors into each word of k the words before it.
#define PREFIX(k, tmp) \
	MOVO  k, tmp   \
	PSLLO $4, tmp  \
	PXOR  tmp, k   \
	MOVO  k, tmp   \
	PSLLO $8, tmp  \
	PXOR  tmp, k

// AESENCLAST on four equal words is SubWord of each: ShiftRows moves nothing
// that differs.
//
// NEXT makes of k the round key behind it, the key before which is prev. X3 is
// the rotation, X4 the round constant.
#define NEXT(k, prev) \
	MOVO       prev, X2 \
	PSHUFB     X3, X2   \
	AESENCLAST X4, X2   \
	PREFIX(k, X6)       \
	PXOR       X2, k

// func expand128(schedule *byte, key *byte)
TEXT ·expand128(SB), NOSPLIT, $0-16
	MOVQ  schedule+0(FP), DI
	MOVQ  key+8(FP), SI
	MOVOU rotate<>(SB), X3
	MOVOU rcon<>(SB), X4
	MOVOU (SI), X0
	MOVOU X0, (DI)
	MOVL  $8, CX

loop128:
	ADDQ  $16, DI
	NEXT(X0, X0)
	MOVOU X0, (DI)
	PSLLL $1, X4
	DECL  CX
	JNZ   loop128
	MOVOU rcon9<>(SB), X4
	NEXT(X0, X0)
	MOVOU X0, 16(DI)
	PSLLL $1, X4
	NEXT(X0, X0)
	MOVOU X0, 32(DI)
	PXOR  X0, X0
	PXOR  X2, X2
	PXOR  X6, X6
	RET

// func expand256(schedule *byte, key *byte)
TEXT ·expand256(SB), NOSPLIT, $0-16
	MOVQ  schedule+0(FP), DI
	MOVQ  key+8(FP), SI
	MOVOU rotate<>(SB), X3
	MOVOU rcon<>(SB), X4
	PXOR  X5, X5
	MOVOU (SI), X0
	MOVOU 16(SI), X1
	MOVOU X0, (DI)
	MOVOU X1, 16(DI)
	MOVL  $6, CX

loop256:
	ADDQ       $32, DI
	NEXT(X0, X1)
	MOVOU      X0, (DI)
	PSLLL      $1, X4
	PSHUFD     $0xff, X0, X2 // the odd keys without rotation and constant
	AESENCLAST X5, X2
	PREFIX(X1, X6)
	PXOR       X2, X1
	MOVOU      X1, 16(DI)
	DECL       CX
	JNZ        loop256
	NEXT(X0, X1)
	MOVOU      X0, 32(DI)
	PXOR       X0, X0
	PXOR       X1, X1
	PXOR       X2, X2
	PXOR       X6, X6
	RET

#define ROUND1(n) \
	MOVOU  (16*n)(SI), X2 \
	AESENC X2, X0

// func chain(rounds int, schedule, x, m *byte, blocks int)
TEXT ·chain(SB), NOSPLIT, $0-40
	MOVQ  rounds+0(FP), AX
	MOVQ  schedule+8(FP), SI
	MOVQ  x+16(FP), DI
	MOVQ  m+24(FP), DX
	MOVQ  blocks+32(FP), CX
	MOVOU (DI), X0
	MOVQ  AX, BX
	SHLQ  $4, BX
	MOVOU (SI), X3
	MOVOU (SI)(BX*1), X4

chainBlock:
	MOVOU      (DX), X1
	PXOR       X3, X1
	PXOR       X1, X0
	ROUND1(1)
	ROUND1(2)
	ROUND1(3)
	ROUND1(4)
	ROUND1(5)
	ROUND1(6)
	ROUND1(7)
	ROUND1(8)
	ROUND1(9)
	CMPQ       AX, $10
	JEQ        chainLast
	ROUND1(10)
	ROUND1(11)
	ROUND1(12)
	ROUND1(13)

chainLast:
	AESENCLAST X4, X0
	ADDQ       $16, DX
	DECQ       CX
	JNZ        chainBlock
	MOVOU      X0, (DI)
	RET

#define ROUND2(n) \
	MOVOU  (16*n)(SI), X2 \
	AESENC X2, X0 \
	AESENC X2, X5

// func chain2(rounds int, schedule, x, m, y, n *byte, blocks int)
TEXT ·chain2(SB), NOSPLIT, $0-56
	MOVQ  rounds+0(FP), AX
	MOVQ  schedule+8(FP), SI
	MOVQ  x+16(FP), DI
	MOVQ  m+24(FP), DX
	MOVQ  y+32(FP), R8
	MOVQ  n+40(FP), R9
	MOVQ  blocks+48(FP), CX
	MOVOU (DI), X0
	MOVOU (R8), X5
	MOVQ  AX, BX
	SHLQ  $4, BX
	MOVOU (SI), X3
	MOVOU (SI)(BX*1), X4

chain2Block:
	MOVOU      (DX), X1
	MOVOU      (R9), X6
	PXOR       X3, X1
	PXOR       X3, X6
	PXOR       X1, X0
	PXOR       X6, X5
	ROUND2(1)
	ROUND2(2)
	ROUND2(3)
	ROUND2(4)
	ROUND2(5)
	ROUND2(6)
	ROUND2(7)
	ROUND2(8)
	ROUND2(9)
	CMPQ       AX, $10
	JEQ        chain2Last
	ROUND2(10)
	ROUND2(11)
	ROUND2(12)
	ROUND2(13)

chain2Last:
	AESENCLAST X4, X0
	AESENCLAST X4, X5
	ADDQ       $16, DX
	ADDQ       $16, R9
	DECQ       CX
	JNZ        chain2Block
	MOVOU      X0, (DI)
	MOVOU      X5, (R8)
	RET

#define COUNTER(n, x) \
	LEAQ   n(R8), R9   \
	BSWAPQ R9          \
	MOVQ   R10, x      \
	PINSRQ $1, R9, x   \
	PXOR   X8, x

#define ROUND8(n) \
	MOVOU  (16*n)(SI), X8 \
	AESENC X8, X0 \
	AESENC X8, X1 \
	AESENC X8, X2 \
	AESENC X8, X3 \
	AESENC X8, X4 \
	AESENC X8, X5 \
	AESENC X8, X6 \
	AESENC X8, X7

// func keystream(rounds int, schedule, counter, out *byte)
TEXT ·keystream(SB), NOSPLIT, $0-32
	MOVQ   rounds+0(FP), AX
	MOVQ   schedule+8(FP), SI
	MOVQ   counter+16(FP), BX
	MOVQ   out+24(FP), DI
	MOVQ   (BX), R10
	MOVQ   8(BX), R8
	BSWAPQ R8
	MOVOU  (SI), X8
	COUNTER(0, X0)
	COUNTER(1, X1)
	COUNTER(2, X2)
	COUNTER(3, X3)
	COUNTER(4, X4)
	COUNTER(5, X5)
	COUNTER(6, X6)
	COUNTER(7, X7)
	ADDQ   $8, R8
	BSWAPQ R8
	MOVQ   R8, 8(BX)
	ROUND8(1)
	ROUND8(2)
	ROUND8(3)
	ROUND8(4)
	ROUND8(5)
	ROUND8(6)
	ROUND8(7)
	ROUND8(8)
	ROUND8(9)
	CMPQ   AX, $10
	JEQ    keystreamLast
	ROUND8(10)
	ROUND8(11)
	ROUND8(12)
	ROUND8(13)

keystreamLast:
	SHLQ       $4, AX
	MOVOU      (SI)(AX*1), X8
	AESENCLAST X8, X0
	AESENCLAST X8, X1
	AESENCLAST X8, X2
	AESENCLAST X8, X3
	AESENCLAST X8, X4
	AESENCLAST X8, X5
	AESENCLAST X8, X6
	AESENCLAST X8, X7
	MOVOU      X0, (DI)
	MOVOU      X1, 16(DI)
	MOVOU      X2, 32(DI)
	MOVOU      X3, 48(DI)
	MOVOU      X4, 64(DI)
	MOVOU      X5, 80(DI)
	MOVOU      X6, 96(DI)
	MOVOU      X7, 112(DI)
	RET
