// What Prisma's client sends in everyday code. `fixtures/guards/ordinary/prisma.txt` is what a server with
// log_statement=all wrote down of it, beside what this file does by itself to make the tables.
//
//   npm install --ignore-scripts prisma@7 @prisma/client@7 @prisma/adapter-pg@7
//   PRISMA_SCHEMA_ENGINE_BINARY=/bin/true npx prisma generate      (the engine for migrations is not needed)
//   DATABASE_URL=postgres://postgres@127.0.0.1:5432/prisma node prisma.mjs
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '@prisma/client'

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) })
for (const sql of [
  `CREATE TYPE "Role" AS ENUM ('READER', 'EDITOR')`,
  `CREATE TABLE "User" ("id" SERIAL PRIMARY KEY, "email" TEXT NOT NULL UNIQUE, "name" TEXT, "role" "Role" NOT NULL DEFAULT 'READER', "settings" JSONB NOT NULL DEFAULT '{}', "tags" TEXT[], "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" TIMESTAMP(3) NOT NULL)`,
  `CREATE TABLE "Profile" ("id" SERIAL PRIMARY KEY, "bio" TEXT NOT NULL, "userId" INTEGER NOT NULL UNIQUE REFERENCES "User" ("id") ON DELETE CASCADE)`,
  `CREATE TABLE "Post" ("id" SERIAL PRIMARY KEY, "title" TEXT NOT NULL, "content" TEXT, "published" BOOLEAN NOT NULL DEFAULT false, "price" DECIMAL(10,2) NOT NULL DEFAULT 0, "views" BIGINT NOT NULL DEFAULT 0, "authorId" INTEGER NOT NULL REFERENCES "User" ("id"))`,
  `CREATE TABLE "Category" ("id" TEXT PRIMARY KEY, "name" TEXT NOT NULL UNIQUE)`,
  `CREATE TABLE "_CategoryToPost" ("A" TEXT NOT NULL REFERENCES "Category" ("id"), "B" INTEGER NOT NULL REFERENCES "Post" ("id"), PRIMARY KEY ("A", "B"))`,
]) await prisma.$executeRawUnsafe(sql)

const ada = await prisma.user.create({ data: { email: 'ada@x', name: 'Ada', tags: ['math'], profile: { create: { bio: 'counts' } }, posts: { create: [{ title: 'Notes', categories: { create: { name: 'essays' } } }, { title: 'Letters', published: true }] } }, include: { posts: true, profile: true } })
await prisma.user.createMany({ data: [{ email: 'bob@x' }, { email: 'eve@x' }], skipDuplicates: true })
await prisma.user.createManyAndReturn({ data: [{ email: 'kim@x' }] })
await prisma.user.findUnique({ where: { email: 'ada@x' } })
await prisma.user.findUniqueOrThrow({ where: { id: ada.id }, select: { name: true, posts: { select: { title: true }, orderBy: { id: 'desc' }, take: 2 } } })
await prisma.user.findFirst({ where: { OR: [{ name: { contains: 'da', mode: 'insensitive' } }, { email: { endsWith: '@y' } }], NOT: { role: 'EDITOR' } } })
await prisma.user.findMany({ where: { posts: { some: { published: true, categories: { none: { name: 'x' } } } } }, include: { _count: { select: { posts: true } } } })
await prisma.user.findMany({ where: { tags: { has: 'math' }, settings: { path: ['theme'], equals: 'dark' } } })
await prisma.user.findMany({ where: { id: { in: [1, 2, 3] } }, skip: 1, take: 2, orderBy: [{ name: { sort: 'asc', nulls: 'last' } }, { id: 'desc' }] })
await prisma.user.findMany({ cursor: { id: ada.id }, take: 3, distinct: ['role'] })
await prisma.post.findMany({ where: { author: { email: { startsWith: 'a' } }, price: { gte: 0, lt: 10 } }, include: { author: true, categories: true } })
await prisma.post.count({ where: { published: true } })
await prisma.post.aggregate({ _avg: { price: true }, _max: { views: true }, _sum: { price: true } })
await prisma.post.groupBy({ by: ['authorId', 'published'], _count: { _all: true }, having: { authorId: { gt: 0 } }, orderBy: { authorId: 'asc' } })
await prisma.user.update({ where: { id: ada.id }, data: { name: 'Ada L.', settings: { theme: 'dark' }, tags: { push: 'poetry' } } })
await prisma.post.updateMany({ where: { authorId: ada.id }, data: { views: { increment: 1 } } })
await prisma.post.updateManyAndReturn({ where: { published: false }, data: { published: true } })
await prisma.user.upsert({ where: { email: 'eve@x' }, create: { email: 'eve@x' }, update: { name: 'Eve' } })
await prisma.user.upsert({ where: { email: 'new@x' }, create: { email: 'new@x' }, update: {} })
await prisma.post.update({ where: { id: ada.posts[0].id }, data: { categories: { connectOrCreate: { where: { name: 'maths' }, create: { name: 'maths' } } }, author: { connect: { email: 'bob@x' } } } })
await prisma.post.update({ where: { id: ada.posts[0].id }, data: { categories: { set: [] } } })
await prisma.$transaction([prisma.user.count(), prisma.post.findMany({ take: 1 })])
await prisma.$transaction(async (tx) => {
  await tx.user.update({ where: { id: ada.id }, data: { role: 'EDITOR' } })
  await tx.post.deleteMany({ where: { title: 'Letters' } })
}, { isolationLevel: 'Serializable' })
await prisma.$transaction(async () => { throw new Error('take it back') }).catch(() => {})
await prisma.$queryRaw`SELECT "name" FROM "User" WHERE "id" = ${ada.id}`
await prisma.$executeRaw`UPDATE "User" SET "name" = ${'Ada'} WHERE "id" = ${ada.id}`
await prisma.user.delete({ where: { email: 'kim@x' } })
await prisma.post.deleteMany({ where: { authorId: { notIn: [1] } } })
await prisma.user.delete({ where: { email: 'new@x' }, select: { id: true } })
await prisma.$disconnect()
